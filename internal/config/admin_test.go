package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"wellkey/internal/config"
)

func TestLoadAdmin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wellkey.yaml")
	if err := os.WriteFile(file, []byte("domain: Not/A/Domain\nadmin_addr: 127.0.0.1:9191\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		env, args []string
		want      string
		fault     string
	}{
		{name: "default, with no other setting", want: "127.0.0.1:9090"},
		{name: "environment", env: []string{"WELLKEY_ADMIN_ADDR=:9191"}, want: ":9191"},
		{name: "flag over environment", env: []string{"WELLKEY_ADMIN_ADDR=:9191"}, args: []string{"--admin-addr=:9292"}, want: ":9292"},
		{name: "file, whose other settings are wrong", args: []string{"--config=" + file}, want: "127.0.0.1:9191"},
		{name: "switched off", env: []string{"WELLKEY_ADMIN_ADDR="}, want: ""},
		{name: "wrong", args: []string{"--admin-addr=nonsense"}, fault: "--admin-addr: "},
		{name: "misspelled", env: []string{"WELLKEY_ADMIN_ADRR=:9191"}, fault: "WELLKEY_ADMIN_ADRR: is no setting. Did you mean WELLKEY_ADMIN_ADDR?"},
		{name: "no such file", args: []string{"--config=" + file + "x"}, fault: "--config: "},
	} {
		loader := config.New(test.env)
		flags := pflag.NewFlagSet("wellkey", pflag.ContinueOnError)
		loader.AddFlags(flags)
		if err := flags.Parse(test.args); err != nil {
			t.Fatal(err)
		}
		got, err := loader.LoadAdmin()
		if got.Addr != test.want || (err == nil) != (test.fault == "") || err != nil && !strings.HasPrefix(err.Error(), test.fault) {
			t.Errorf("%s: got %q, %v; want %q, %s", test.name, got, err, test.want, test.fault)
		}
	}
}
