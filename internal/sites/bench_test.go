package sites_test

import (
	"fmt"
	"testing"
)

// TestLookupAllocatesNothing: every request looks for its site.
func TestLookupAllocatesNothing(t *testing.T) {
	set, _, _ := newMany(t, 10)
	if err := set.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"s3.example.com", "unknown.example.com"} {
		if got := testing.AllocsPerRun(100, func() { set.Get(domain) }); got != 0 {
			t.Errorf("%s: %v allocations, want 0", domain, got)
		}
	}
}

// BenchmarkLookup finds a site by its host, by all processors at once. To lay the files
// of a hundred thousand sites takes longer than to measure.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			set, _, _ := newMany(b, n)
			if err := set.Reload(b.Context()); err != nil {
				b.Fatal(err)
			}
			domains := make([]string, min(n, 1000))
			for i := range domains {
				domains[i] = fmt.Sprintf("s%d.example.com", i*(n/len(domains)))
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, ours := set.Get(domains[i%len(domains)]); !ours {
						b.Error("a site is not found")
						return
					}
				}
			})
		})
	}
}
