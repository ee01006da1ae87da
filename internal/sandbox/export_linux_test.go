package sandbox

// ApplyOn is Apply on another kernel. The rights that are watched over, and those
// of each path, are given to confine.
func ApplyOn(c Config, noMore error, abi int, abiErr error, confine func(handled uint64, rights map[string]uint64) error) Status {
	return kernel{
		noMore: func() error { return noMore },
		abi:    func() (int, error) { return abi, abiErr },
		confine: func(handled uint64, all []rule) error {
			rights := map[string]uint64{}
			for _, r := range all {
				rights[r.path] |= r.rights
			}
			return confine(handled, rights)
		},
	}.apply(c)
}

// ErrThreads is what a program with cgo gets.
var ErrThreads = errThreads
