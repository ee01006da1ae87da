package skew

// JumpedBy is Jumped after so much time by the monotonic clock, and by the wall
// clock.
var JumpedBy = jumped
