package listen

// Config is what listens, and OpenWith listens with it.
var (
	Config   = config
	OpenWith = openWith
)
