package systemd

// Assign is what Sockets does with the files of the manager.
var Assign = assign
