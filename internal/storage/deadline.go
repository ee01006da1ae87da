package storage

import (
	"context"
	"fmt"
)

// do calls f, which touches files, in a goroutine of its own, and returns what
// it returns, unless ctx ends or d's timeout passes first: then f goes on alone,
// with a context that has ended, and undo is given what it made in vain.
func do[T any](ctx context.Context, d *Directory, doing string, f func(context.Context) (T, error), undo func(T)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%s: %w", doing, err)
	}
	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	late := func() error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return fmt.Errorf("%s: no answer within %v: %w", doing, d.timeout, ErrTimeout)
	}
	select {
	case d.slots <- struct{}{}:
	case <-limited.Done():
		return none, late()
	}
	type result struct {
		value T
		err   error
	}
	done, left := make(chan result), make(chan struct{})
	go func() {
		defer func() { <-d.slots }()
		var value T
		err := d.metrics.panics.Once(func() (err error) {
			value, err = f(limited)
			return err
		})
		select {
		case done <- result{value, err}:
		case <-left:
			if err == nil && undo != nil {
				undo(value)
			}
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-limited.Done():
		close(left)
		return none, late()
	}
}

// try is do where there is nothing to return.
func try(ctx context.Context, d *Directory, doing string, f func(context.Context) error) error {
	_, err := do(ctx, d, doing, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) }, nil)
	return err
}
