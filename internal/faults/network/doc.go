// Package network holds tests only: what wellkey, and its look from outside, make of
// networks that lose, delay, swallow and lie. Each test has two hosts of its own with
// a line between them (testnetns), and runs the binary that ships on them: a wellkey
// that serves, and the doctor, whose findings must name what is wrong with the line.
// Where wellkey is on the near side, a client of that side fetches the key all along.
//
// docs/reliability.md is its map, as it is that of the room above.
package network
