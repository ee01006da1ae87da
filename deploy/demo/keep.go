package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"wellkey/internal/durable"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// A keepsake is what the surroundings of wellkey remember from one run with
// -data to the next, as the real ones would: the CA goes on where it was, its
// old roots stay trusted, and Tesla knows who is registered.
type keepsake struct {
	CAAddr   string                               `json:"ca_addr"`
	Roots    string                               `json:"roots"` // PEM
	Accounts map[fleetapi.Region]fleetapi.Account `json:"accounts"`
}

func keepsakePath(dir string) string { return filepath.Join(dir, "demo.json") }

// loadKeepsake returns the keepsake of dir; the zero keepsake if there is none.
func loadKeepsake(dir string) (keepsake, error) {
	var k keepsake
	data, err := os.ReadFile(keepsakePath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		return k, fmt.Errorf("reading what an earlier demo left: %w", err)
	}
	return k, nil
}

// recall puts the registrations of before into the simulated Tesla.
func (k keepsake) recall(w *testworld.World) {
	for region, account := range k.Accounts {
		w.Tesla.SetAccount(region, account)
	}
}

// saveKeepsake writes the keepsake of a world into dir.
func saveKeepsake(dir string, w *testworld.World) error {
	directory, err := url.Parse(w.CA.Directory())
	if err != nil {
		return err
	}
	k := keepsake{CAAddr: directory.Host, Roots: string(w.RootsPEM()), Accounts: map[fleetapi.Region]fleetapi.Account{}}
	for _, region := range regions {
		if account, ok := w.Tesla.Account(region, w.Domain); ok {
			k.Accounts[region] = account
		}
	}
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(keepsakePath(dir), append(data, '\n'), 0o600)
}
