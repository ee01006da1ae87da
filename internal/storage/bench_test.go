package storage_test

import (
	"bytes"
	"fmt"
	"testing"

	"go.uber.org/zap"

	"wellkey/internal/storage"
)

// BenchmarkDirectory is one value of the size of a certificate, among others. To
// store one takes two fsyncs, so it is as fast as the disk.
func BenchmarkDirectory(b *testing.B) {
	store, err := storage.OpenDirectory(b.TempDir(), zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	key := func(n int) string { return fmt.Sprintf("certificates/ca/s%d/s%d.crt", n, n) }
	value := bytes.Repeat([]byte("v"), 3000)
	for n := range 100 {
		if err := store.Store(b.Context(), key(n), value); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if err := store.Store(b.Context(), key(n%100), value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if _, err := store.Load(b.Context(), key(n%100)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
