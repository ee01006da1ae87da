package durable

// CreateFileLinking is CreateFile on a file system whose hard links behave like
// link.
var CreateFileLinking = createFile
