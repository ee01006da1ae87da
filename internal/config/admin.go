package config

// LoadAdminAddr reads admin_addr alone, for commands that only talk to a wellkey
// that runs: what else is not set or wrong is no concern of theirs. A setting
// that does not exist still is an error, since it may be a misspelled admin_addr.
// "" means that the listener is switched off.
func (l *Loader) LoadAdminAddr() (string, error) {
	d := &draft{values: map[string]value{}}
	env := d.readEnvironment(l.environ)
	file := d.readConfigFile(l.flags["config"], env["config"])
	for _, r := range table() {
		if r.name == "admin_addr" {
			d.values[r.name] = d.pick(r, l.flags, env, file)
			d.apply(r)
		}
	}
	if err := join(d.faults); err != nil {
		return "", err
	}
	return d.settings.AdminAddr, nil
}
