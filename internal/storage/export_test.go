package storage

// Explain lets tests see errors that root never meets.
var Explain = explain
