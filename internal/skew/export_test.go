package skew

// Counts is counts.
var Counts = counts
