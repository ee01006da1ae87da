package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"wellkey/deploy/trial"
	"wellkey/internal/testprogram"
)

// build makes the programs that are compared, or those that are profiled.
func build(ctx context.Context, o options, top, dir string, say func(string, ...any)) (p programs, err error) {
	if p.wellkey, err = trial.Wellkey(ctx, o.binary, dir); err != nil {
		return p, err
	}
	if o.profile {
		p.profiled = filepath.Join(dir, "profiled")
		return p, testprogram.BuildOf(ctx, top, "wellkey/deploy/bench/profiled", p.profiled, shippedBy(top)...)
	}
	p.bare = filepath.Join(dir, "bare")
	if err := testprogram.BuildOf(ctx, top, "wellkey/deploy/bench/bare", p.bare); err != nil {
		return p, err
	}
	if o.short { // it must not take the minutes of a build
		p.caddy, p.oldCaddy = program("caddy"), true
		return p, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return p, err
	}
	p.caddy = filepath.Join(cache, "wellkey-bench", "caddy")
	say("building Caddy, which takes minutes the first time")
	return p, testprogram.BuildOf(ctx, filepath.Join(top, "deploy/bench/caddy"), ".", p.caddy)
}

// shippedBy returns what has the compiler go by the profile beside main.go, if there
// is one, as it does for wellkey itself.
func shippedBy(top string) []string {
	profile := filepath.Join(top, "default.pgo")
	if _, err := os.Stat(profile); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return []string{"-pgo=" + profile}
}

// repository returns the folder of the module that this program is from.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("finding the repository (is this its folder?): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
