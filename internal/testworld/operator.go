package testworld

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
)

// Admin gets a path of the admin listener, such as "/metrics".
func (w *World) Admin(ctx context.Context, path string) (Visit, error) {
	return ask(ctx, w.AdminAddr, path)
}

// ask gets a path of an admin listener.
func ask(ctx context.Context, addr, path string) (Visit, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: visitPatience}
	return visit(ctx, client, "http://"+addr+path, 4<<20)
}

// Status returns what /status says.
func (w *World) Status(ctx context.Context) (admin.Status, error) {
	visit, err := w.Admin(ctx, "/status")
	if err != nil {
		return admin.Status{}, err
	}
	var status admin.Status
	if err := json.Unmarshal(visit.Body, &status); err != nil {
		return admin.Status{}, fmt.Errorf("decoding the status: %w", err)
	}
	return status, nil
}

// AwaitStatus returns the first status for which match holds. While nobody
// answers it goes on asking. The error is that of ctx; the status is then the
// last one.
func (w *World) AwaitStatus(ctx context.Context, match func(admin.Status) bool) (admin.Status, error) {
	var last admin.Status
	err := until(ctx, func() bool {
		status, err := w.Status(ctx)
		if err == nil {
			last = status
		}
		return err == nil && match(status)
	})
	return last, err
}

// AddDomain makes another domain, which leads to wellkey, and an application for
// it, whose client id is the domain and whose secret is SecretOf(domain).
func (w *World) AddDomain(domain string) {
	w.Lead(domain)
	w.Tesla.AddApp(fleetsim.App{ClientID: domain, Secret: SecretOf(domain), Name: domain, AllowedOrigins: []string{"https://" + domain}})
}

// SecretOf returns the secret of the application of a domain of AddDomain.
func SecretOf(domain string) string { return ClientSecret + domain }
