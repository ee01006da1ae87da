package config

import (
	"errors"

	"github.com/spf13/pflag"
)

// AddFlags registers a flag for every setting. The flags take any text; Load
// checks it together with the rest, so that all faults come at once. A secret
// has no flag: its name is registered without being shown, only to refuse it
// with the reason.
func (l *Loader) AddFlags(flags *pflag.FlagSet) { l.addFlags(flags, func(row) bool { return true }) }

// AddProcessFlags is AddFlags for a command about the sites of a process: what
// belongs to one of them has no flag.
func (l *Loader) AddProcessFlags(flags *pflag.FlagSet) {
	l.addFlags(flags, func(r row) bool { return !r.site })
}

func (l *Loader) addFlags(flags *pflag.FlagSet, wanted func(row) bool) {
	for _, r := range table() {
		if r.fileOnly || !wanted(r) {
			continue
		}
		flag := flags.VarPF(&flagValue{l.flags, r}, flagName(r.name), "", r.usage())
		flag.Hidden = r.secret
		if r.kind == kindBool {
			flag.NoOptDefVal = "true"
		}
	}
}

// FlagError turns an error of the flag parser into a *Fault, with the near
// spelling where a flag is unknown. known are all flags of the command.
func FlagError(err error, known *pflag.FlagSet) error {
	var unknown *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	switch {
	case errors.As(err, &valueless):
		return &Fault{Setting: "--" + valueless.GetSpecifiedName(), What: "needs a value", Fix: "Write it behind the flag, as in --" + valueless.GetSpecifiedName() + "=VALUE"}
	case errors.As(err, &unknown):
		names := []string{}
		known.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		})
		name := "--" + unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			name = "-" + unknown.GetSpecifiedShortnames()
		}
		return &Fault{Setting: cutName(name), What: "is no flag of this command", Fix: didYouMean(name, names)}
	}
	return err
}

// A flagValue puts what the command line says into the Loader. It implements
// pflag.Value.
type flagValue struct {
	given map[string]string
	row   row
}

func (v *flagValue) Set(text string) error {
	if v.row.secret {
		text = "given" // the value itself is not kept: it is refused
	}
	v.given[v.row.name] = text
	return nil
}

// String gives the default, which is what pflag shows; it never gives a value.
func (v *flagValue) String() string { return "" }

func (v *flagValue) Type() string { return v.row.kind }
