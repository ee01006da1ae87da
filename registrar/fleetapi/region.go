package fleetapi

// A Region is one of Tesla's independent deployments of the Fleet API. Partner
// accounts, domains and keys of one region are unknown to the others.
//
// Source: https://developer.tesla.com/docs/fleet-api/getting-started/base-urls
type Region string

// The regions.
const (
	NA Region = "na" // North America and Asia-Pacific without China
	EU Region = "eu" // Europe, Middle East, Africa
	CN Region = "cn" // China: wants an application of its own, from developer.tesla.cn
)

// Regions returns all regions, in the order in which they are shown.
func Regions() []Region { return []Region{NA, EU, CN} }

// BaseURL returns Tesla's base URL of the region, which is also the audience of
// its tokens: with scheme, without a slash at the end. An unknown region gives "".
func (r Region) BaseURL() string {
	switch r {
	case NA:
		return "https://fleet-api.prd.na.vn.cloud.tesla.com"
	case EU:
		return "https://fleet-api.prd.eu.vn.cloud.tesla.com"
	case CN:
		return "https://fleet-api.prd.cn.vn.cloud.tesla.cn"
	}
	return ""
}

// AuthURL returns the base URL of the host that issues the region's partner
// authentication tokens. The fleet-auth host replaced auth.tesla.com in August
// 2025 and does not exist for China.
//
// Source: https://developer.tesla.com/docs/fleet-api/announcements (2025-07-21)
func (r Region) AuthURL() string {
	if r == CN {
		return "https://auth.tesla.cn"
	}
	return "https://fleet-auth.prd.vn.cloud.tesla.com"
}

// Name returns the region's name for people.
func (r Region) Name() string {
	switch r {
	case NA:
		return "North America and Asia-Pacific"
	case EU:
		return "Europe, Middle East and Africa"
	case CN:
		return "China"
	}
	return string(r)
}

// PairingLink returns the link that an owner opens on their phone to add the
// virtual key of domain to a car. It has no slash at the end, since the Tesla
// app refuses one (teslamotors/vehicle-command#159).
//
// Source: https://developer.tesla.com/docs/fleet-api/virtual-keys/developer-guide
func (r Region) PairingLink(domain string) string {
	if r == CN {
		return "https://tesla.cn/_ak/" + domain
	}
	return "https://tesla.com/_ak/" + domain
}
