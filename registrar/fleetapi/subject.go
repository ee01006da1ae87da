package fleetapi

import "strings"

// KeyPath is where Tesla downloads the public key of a domain.
const KeyPath = "/.well-known/appspecific/com.tesla.3p.public-key.pem"

// A Subject is what a request was about: the values of the placeholders in the
// texts and examples of the catalogue.
type Subject struct {
	Region   Region
	Domain   string
	ClientID string
	BaseURL  string
	AuthURL  string
}

// Fill returns text with the placeholders {domain}, {region}, {region_name},
// {base_url}, {auth_url}, {client_id} and {key_url} replaced. An unknown domain
// is called "the domain".
func (s Subject) Fill(text string) string {
	domain := s.Domain
	if domain == "" {
		domain = "the domain"
	}
	return strings.NewReplacer(
		"{domain}", domain,
		"{region}", string(s.Region),
		"{region_name}", s.Region.Name(),
		"{base_url}", s.BaseURL,
		"{auth_url}", s.AuthURL,
		"{client_id}", s.ClientID,
		"{key_url}", "https://"+domain+KeyPath,
	).Replace(text)
}
