package registrar_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	. "wellkey/registrar"
)

// listed is a memory that can be searched, as certmagic's directory can: a key
// has its folders as keys of their own, and an unknown prefix is an error.
type listed struct {
	memory
	err error
}

func (l *listed) List(_ context.Context, prefix string, _ bool) ([]string, error) {
	var keys []string
	for key := range l.data {
		if strings.HasPrefix(key, prefix+"/") {
			keys = append(keys, key[:strings.LastIndex(key, "/")], key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.Join(l.err, fs.ErrNotExist)
	}
	return keys, l.err
}

func TestFormerDomains(t *testing.T) {
	registered := `{"answer":{"client_id":"id","key":"` + ours.Hex() + `"}}`
	const none = `{"answer":{"client_id":"id","key":""}}`
	for name, row := range map[string]struct {
		records map[string]string
		want    []string
	}{
		"nothing":             {nil, nil},
		"new here":            {map[string]string{"old.example/na": registered, "old.example/eu": registered, "a.example/eu": registered}, []string{"a.example", "old.example"}},
		"known here":          {map[string]string{"old.example/na": registered, "new.example/eu": none}, nil},
		"never registered":    {map[string]string{"old.example/na": none, "old.example/eu": `{}`}, nil},
		"a damaged record":    {map[string]string{"old.example/na": `{"answer":`}, nil},
		"one region was left": {map[string]string{"old.example/na": none, "old.example/eu": registered}, []string{"old.example"}},
	} {
		s := &listed{}
		for at, record := range row.records {
			_ = s.Store(t.Context(), "registrations/"+at+".json", []byte(record)) // a memory always can
		}
		if got, err := FormerDomains(t.Context(), s, "new.example"); err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, row.want)
		}
	}
}

func TestFormerDomainsOfABrokenStore(t *testing.T) {
	s := &listed{err: errors.New("no such disk")}
	_ = s.Store(t.Context(), "registrations/old.example/na.json", []byte(`{}`)) // a memory always can
	if _, err := FormerDomains(t.Context(), s, "new.example"); err == nil || !strings.HasPrefix(err.Error(), "listing the registration records: ") {
		t.Errorf("got %v", err)
	}
}
