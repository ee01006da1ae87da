package dns01

// Algorithms are those by which an update can be signed.
var Algorithms = algorithms
