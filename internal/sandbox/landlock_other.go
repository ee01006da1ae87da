//go:build !linux

package sandbox

func apply(Config) Status { return Status{Reason: "landlock is a part of Linux"} }

func giveUpPrivileges() Status { return Status{} }
