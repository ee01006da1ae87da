package fleetapi

import (
	"slices"

	"wellkey/internal/pattern"
)

// The reason codes, in the order of the catalogue.
const (
	ClientinfoTimeout     ReasonCode = "clientinfo_timeout"
	UnauthorizedClient    ReasonCode = "unauthorized_client"
	ClientNotFound        ReasonCode = "client_not_found"
	InvalidResource       ReasonCode = "invalid_resource"
	InvalidRequest        ReasonCode = "invalid_request"
	InvalidAudience       ReasonCode = "invalid_audience"
	InvalidScope          ReasonCode = "invalid_scope"
	UnsupportedGrantType  ReasonCode = "unsupported_grant_type"
	InvalidDomain         ReasonCode = "invalid_domain"
	RootDomainMismatch    ReasonCode = "root_domain_mismatch"
	UserToken             ReasonCode = "user_token"
	NotRegisteredInRegion ReasonCode = "not_registered_in_region"
	DomainNotSet          ReasonCode = "domain_not_set"
	DomainOfAnotherApp    ReasonCode = "domain_of_another_app"
	KeyNotFound           ReasonCode = "key_not_found"
	OutOfRegion           ReasonCode = "out_of_region"
	NotPartnerAccount     ReasonCode = "not_partner_account"
	MissingScopes         ReasonCode = "missing_scopes"
	KeyTaken              ReasonCode = "key_taken"
	DomainTaken           ReasonCode = "domain_taken"
	CSRInvalid            ReasonCode = "csr_invalid"
	KeyTooLarge           ReasonCode = "key_too_large"
	UpdateInProgress      ReasonCode = "update_in_progress"
	InternalError         ReasonCode = "internal_error"
	KeyDownloadFailed     ReasonCode = "key_download_failed"
	ValidationFailed      ReasonCode = "validation_failed"
	TokenExpired          ReasonCode = "token_expired"
	Unauthorized          ReasonCode = "unauthorized"
	PaymentRequired       ReasonCode = "payment_required"
	WAFBlocked            ReasonCode = "waf_blocked"
	Forbidden             ReasonCode = "forbidden"
	NotFound              ReasonCode = "not_found"
	RateLimited           ReasonCode = "rate_limited"
	Unavailable           ReasonCode = "unavailable"
	Redirected            ReasonCode = "redirected"
	NotJSON               ReasonCode = "not_json"
	UnknownRefusal        ReasonCode = "unknown_refusal"
	BadAnswer             ReasonCode = "bad_answer"
	Timeout               ReasonCode = "timeout"
	DNS                   ReasonCode = "dns"
	TLS                   ReasonCode = "tls"
	ConnectionRefused     ReasonCode = "connection_refused"
	ConnectionReset       ReasonCode = "connection_reset"
	Network               ReasonCode = "network"
)

// Catalogue returns all refusals and failures. The order is the order in which
// an answer is compared with them: texts of Tesla's before statuses, single
// statuses before classes. The last rows are Local.
func Catalogue() []Refusal { return slices.Clone(catalogue) }

var (
	all      = Operations()
	forToken = []Operation{OpToken}
	register = []Operation{OpRegister}
	ask      = []Operation{OpPublicKey}
	partner  = []Operation{OpRegister, OpPublicKey}
)

// Sources that many rows share; "#n" is an issue of the repository.
const (
	vc          = "github.com/teslamotors/vehicle-command"
	ft          = "github.com/teslamotors/fleet-telemetry"
	ha          = "github.com/home-assistant/core"
	docs        = "https://developer.tesla.com/docs/fleet-api"
	conventions = docs + " (conventions, response codes)"
)

// Sentences that many rows share.
const (
	waits      = "Nothing has to be done: wellkey tries again by itself."
	checkKey   = "Run \"wellkey doctor {domain}\": it fetches {key_url} from outside and names what is wrong."
	portal     = "https://developer.tesla.com (for China https://developer.tesla.cn)"
	openTicket = "If it goes on for days, ask Tesla's support and give them the txid."
)

// envelope is the body with which the partner endpoints refuse.
func envelope(text string) string {
	return `{"response":null,"error":"` + text + `","error_description":"","txid":"{txid}"}`
}

// oauth and oldOAuth are the bodies with which the token endpoint refuses, now
// and on the host of before August 2025.
func oauth(code, text string) string {
	return `{"error":"` + code + `","error_description":"` + text + `","referenceID":"{reference}` +
		`. For more information, visit: https://developer.tesla.com/docs/fleet-api#help-and-support"}`
}

func oldOAuth(code, text string) string {
	return `{"error":"` + code + `","error_description":"` + text +
		`","error_uri":"https://auth.tesla.com/error/reference/{reference}"}`
}

// catalogue is only ever read.
var catalogue = []Refusal{
	{
		Code: ClientinfoTimeout, Operations: all, Pattern: pattern.New(`operation_timedout`),
		Actor: ActorTesla, Retry: RetrySoon,
		Summary: "Tesla's own check of the token timed out",
		Cause:   "A service inside Tesla did not answer in time.",
		Fix:     waits, Source: ft + " #76",
		Examples: []Example{{Status: 500, Body: envelope("https://auth.tesla.com:443/oauth2/v3/clientinfo => operation_timedout with 7s timeout")}},
	},

	// The token endpoint's texts.
	{
		Code: UnauthorizedClient, Operations: forToken, Statuses: []int{400, 401},
		Pattern: pattern.New(`unauthorized_client|invalid_client|We don't recognize this client_id`),
		Actor:   ActorOperator, Retry: RetryDaily,
		Summary: "Tesla does not recognize the client id and secret",
		Cause: "The secret is not the one of client id {client_id}, is incomplete, or was replaced; or the application was deleted. " +
			"An application of developer.tesla.com does not work in China, nor one of developer.tesla.cn elsewhere. " +
			"A new application is unknown for up to some hours.",
		Fix: "Compare client_id and client_secret with the application's page on " + portal + ", and copy the secret again, " +
			"all of it. If the application is new, wait: wellkey asks again after an hour, and then once a day.",
		Source: vc + " #21, #100, #134; " + docs + "/support/faq",
		Examples: []Example{
			{Status: 400, Body: oldOAuth("unauthorized_client", "We don't recognize this client_id and client_secret combination")},
			{Status: 401, Body: oauth("unauthorized_client", "We don't recognize this client_id and client_secret combination. "+
				"Use the client_id and client_secret that has been granted for the application.")},
		},
	},
	{
		Code: ClientNotFound, Operations: forToken, Statuses: []int{400}, Pattern: pattern.New(`client_not_found`),
		Actor: ActorOperator, Retry: RetryDaily,
		Summary: "Tesla knows no such client id",
		Cause: "The application {client_id} does not exist at {auth_url}. China has applications of its own: those of " +
			"developer.tesla.com are not known there.",
		Fix: "For the region cn, use the client id and secret of an application made on https://developer.tesla.cn; " +
			"otherwise correct client_id.",
		Source:   "seen at auth.tesla.cn with an application of developer.tesla.com",
		Examples: []Example{{Status: 400, Body: oauth("client_not_found", "")}},
	},
	{
		Code: InvalidResource, Operations: forToken, Statuses: []int{400}, Pattern: pattern.New(`Invalid resource`),
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla issues no token for this base URL here",
		Cause:   "{base_url} is not an audience that {auth_url} knows for this application: a Chinese base URL at the global host, or the reverse.",
		Fix:     "Remove the settings tesla_auth_url and tesla_api_url_{region}, so that Tesla's own addresses are used.",
		Source:  vc + " #100, #134", Examples: []Example{{Status: 400, Body: oldOAuth("invalid_request", "Invalid resource")}},
	},
	{
		Code: InvalidRequest, Operations: forToken, Statuses: []int{400}, Pattern: pattern.New(`invalid_request`),
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla says that the request for a token lacks something",
		Cause:   "Something between wellkey and Tesla changed the request, or Tesla requires more than it documents.",
		Fix: "See that no proxy rewrites requests to {auth_url}. If there is none, report Tesla's text " +
			"to wellkey's issues.",
		Source: ha + " #134595",
		Examples: []Example{{Status: 400, Body: oauth("invalid_request",
			"The 'client_id' parameter is missing. Include client_id in the request.")}},
	},
	{
		Code: InvalidAudience, Operations: forToken, Statuses: []int{400}, Pattern: pattern.New(`invalid_audience`),
		Actor: ActorTesla, Retry: RetryLag,
		Summary: "Tesla refuses the audience of the token",
		Cause: "Tesla compares the audience, {base_url}, with a list. For Tesla's own addresses this is a fault on its side, " +
			"seen with new applications since August 2026. With tesla_api_url_{region} set, the address may be misspelt.",
		Fix:    "Remove the setting tesla_api_url_{region}. Otherwise wait: wellkey tries again by itself. " + openTicket,
		Source: vc + " #460; github.com/teslamate-org/teslamate #5577",
		Examples: []Example{{Status: 400, Body: `{"error":"invalid_audience","error_description":"The 'audience' parameter is invalid. ` +
			`Include valid audience in the request."}`}},
	},
	{
		Code: InvalidScope, Operations: forToken, Statuses: []int{400}, Pattern: pattern.New(`invalid_scope`),
		Actor: ActorOperator, Retry: RetryLag,
		Summary: "Tesla does not allow the application to ask for tokens of its own",
		Cause:   "The application has no client credentials grant, or lacks the scope. A change takes up to ten minutes.",
		Fix: "On " + portal + ", set the grant type to \"Authorization Code and Machine-to-Machine\", and make sure that " +
			"scopes are ticked.",
		Source:   vc + " #134; " + docs + "/announcements (2024-05-20)",
		Examples: []Example{{Status: 400, Body: oldOAuth("invalid_scope", "The client is not allowed to access the requested resource.")}},
	},
	{
		Code: UnsupportedGrantType, Operations: forToken, Statuses: []int{400}, Pattern: pattern.New(`unsupported_grant_type`),
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla does not grant tokens to the application itself",
		Cause:   "The application allows only sign-in by users.",
		Fix:     "On " + portal + ", set the grant type to \"Authorization Code and Machine-to-Machine\".",
		Source:  conventions, Examples: []Example{{Status: 400, Body: oauth("unsupported_grant_type", "The grant type is invalid")}},
	},

	// The partner endpoints' texts.
	{
		Code: InvalidDomain, Operations: partner, Statuses: []int{400}, Pattern: pattern.New(`^Invalid domain`),
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla does not accept the spelling of {domain}",
		Cause:   "A domain is a bare, lower-case host name: no scheme, port, path or slash, and not localhost.",
		Fix:     "Correct the setting domain, so that it reads like keys.example.com.",
		Source:  vc + " #6, #20; " + ha + " #149774",
		Examples: []Example{
			{Status: 400, Body: envelope("Invalid domain: {domain}. Ensure that domain is lowercase and starts without https://")},
			{Status: 400, Body: envelope("Invalid domain: {domain}")},
		},
	},
	{
		Code: RootDomainMismatch, Operations: partner, Statuses: []int{412},
		Pattern: pattern.New(`^Root domain .*must match registered allowed origin`),
		Actor:   ActorOperator, Retry: RetryLag,
		Summary: "the domain {domain} does not belong to an allowed origin of the application",
		Cause: "None of the allowed origins saved in Tesla's portal has the same root domain as {domain}: it was not saved, " +
			"is misspelt, or ends in a slash. A change takes some minutes.",
		Fix:      "On " + portal + ", add https://{domain} to the allowed origins of application {client_id}, without a slash at the end, and save.",
		Source:   docs + "/endpoints/partner-endpoints#register; github.com/fabianhu/tesla_api #9",
		Examples: []Example{{Status: 412, Body: envelope("Root domain {domain} must match registered allowed origin")}},
	},
	{
		Code: UserToken, Operations: []Operation{OpToken, OpRegister}, Statuses: []int{412}, Pattern: pattern.New(`^Account .*must be registered`),
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "the token is that of a user, not of the application",
		Cause: "The token endpoint answered with the token of a person, which cannot register a partner. Tesla does not do that " +
			"by itself: something stands between wellkey and {auth_url}.",
		Fix:    "Remove the setting tesla_auth_url, or correct whatever answers there.",
		Source: vc + " #166, #250",
		Examples: []Example{{Status: 412, Body: envelope("Account {client_id} must be registered in the current region {base_url}, " +
			"please see https://developer.tesla.com/docs/fleet-api/endpoints/partner-endpoints#register")}},
	},
	{
		Code: NotRegisteredInRegion, Operations: ask, Statuses: []int{412}, Pattern: pattern.New(`must be registered`), Absent: true,
		Actor: ActorNobody, Retry: RetrySoon,
		Summary: "the application is not registered in this region",
		Cause:   "No registration of application {client_id} has succeeded in {region_name} so far. Regions know nothing of each other.",
		Fix:     "Nothing has to be done: wellkey registers it.",
		Source:  vc + " #21, #176; github.com/evcc-io/evcc #19886",
		Examples: []Example{
			{Status: 412, Body: envelope("Account {client_id} must be registered in the current region {base_url}, " +
				"please see https://developer.tesla.com/docs/fleet-api/endpoints/partner-endpoints#register")},
			{Status: 412, Body: `{"error":"Account {client_id} must be registered please see https://developer.tesla.com/docs/fleet-api#register"}`},
		},
	},
	{
		Code: DomainNotSet, Operations: ask, Statuses: []int{412}, Pattern: pattern.New(`set a domain for your account first`), Absent: true,
		Actor: ActorNobody, Retry: RetrySoon,
		Summary: "the application has no domain in this region",
		Cause:   "No domain is registered for application {client_id} in {region_name}.",
		Fix:     "Nothing has to be done: wellkey registers it.",
		Source:  "seen at the telemetry endpoints", Examples: []Example{{Status: 412, Body: `{"error":"set a domain for your account first"}`}},
	},
	{
		// The status is unknown. Whether the domain is another application's,
		// or nobody's, only a registration tells.
		Code: DomainOfAnotherApp, Operations: ask, Statuses: []int{4}, Pattern: pattern.New(`does not have access to`), Absent: true,
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "the application has no access to {domain} in this region",
		Cause:   "Tesla shows a domain's key only to the application that registered it, and that is not {client_id}: it is another one, or none.",
		Fix: "If {domain} was registered by another application, use the client id and secret of that one, or another domain. " +
			"Otherwise nothing has to be done: wellkey registers it.",
		Source:   "text matched by several clients; no full answer was published",
		Examples: []Example{{Status: 403, Body: envelope("Account {client_id} does not have access to {domain}")}},
	},
	{
		// A 404 of anything else in the way, such as a mistyped base URL, must not
		// pass for "no key is registered".
		Code: KeyNotFound, Operations: ask, Statuses: []int{404}, Pattern: pattern.New(`(?i)not[ _]found`), Strict: true, Absent: true,
		Actor: ActorNobody, Retry: RetrySoon,
		Summary: "Tesla has no key of {domain} in this region",
		Cause:   "{domain} is not registered in {region_name}.",
		Fix:     "Nothing has to be done: wellkey registers it.",
		Source:  "lookup handled by other clients; no full answer was published", Examples: []Example{{Status: 404, Body: envelope("not found")}},
	},
	{
		// In answer to a question it only says that nothing is registered there:
		// it was seen where a registration in another region had succeeded. A
		// bare 421 is no such answer; proxies give it too.
		Code: OutOfRegion, Operations: partner, Statuses: []int{421}, Pattern: pattern.New(`(?i)out of region|use base URL`), Absent: true,
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla sends the application to another region",
		Cause:   "Tesla says that the application belongs to another region than {region_name}; its text names the right base URL.",
		Fix:     "Set regions to the region whose base URL Tesla names, and leave out {region}.",
		Source:  vc + " #53, #104",
		Examples: []Example{{Status: 421, Body: envelope("user out of region, use base URL: https://fleet-api.prd.na.vn.cloud.tesla.com, " +
			"see https://developer.tesla.com/docs/fleet-api#regional-requirements")}},
	},
	{
		Code: NotPartnerAccount, Operations: partner, Statuses: []int{401, 412}, Pattern: pattern.New(`Expected partner account`),
		Actor: ActorNobody, Retry: RetryLag,
		Summary: "Tesla does not know the application as a partner yet",
		Cause:   "A new application is not known everywhere at Tesla for an hour, at times for days.",
		Fix:     waits + " " + openTicket, Source: vc + " #166",
		Examples: []Example{
			{Status: 401, Body: envelope("Expected partner account token type")},
			{Status: 401, Body: envelope("Expected partner account")},
		},
	},
	{
		Code: MissingScopes, Operations: partner, Statuses: []int{403}, Pattern: pattern.New(`(?i)missing scopes`),
		Actor: ActorOperator, Retry: RetryLag,
		Summary: "the token lacks a scope",
		Cause: "The application lacks a scope or a product in Tesla's portal. A change takes up to ten minutes. In China, Tesla " +
			"gave this answer to questions for the key even after a registration that succeeded.",
		Fix:    "On " + portal + ", tick the scopes that the application is to have, and save.",
		Source: docs + "/support/faq", Examples: []Example{{Status: 403, Body: envelope("Unauthorized missing scopes")}},
	},
	{
		Code: KeyTaken, Operations: register, Statuses: []int{422}, Pattern: pattern.New(`Public key hash has already been taken`),
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "the key is already registered by another application or for another domain",
		Cause:   "In one region, a key belongs to one application and one domain. This one was registered in {region_name} before.",
		Fix: "Use the client id and secret of the application that registered the key; or give this domain a key of its own with " +
			"\"wellkey rotate\", after which every owner has to pair again.",
		Source:   vc + " #17; " + ha + " #134595, #157751",
		Examples: []Example{{Status: 422, Body: envelope("Validation failed: Public key hash has already been taken")}},
	},
	{
		Code: DomainTaken, Operations: register, Statuses: []int{422}, Pattern: pattern.New(`Domain has already been taken`),
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "the domain {domain} is already registered by another application",
		Cause: "In one region, a domain belongs to one application, and stays with it when the application is deleted. " +
			"{domain} was registered in {region_name} by another one than {client_id}.",
		Fix: "Use the client id and secret of the old application; or register the old application with another domain, which frees " +
			"this one; or use another subdomain here.",
		Source:   vc + " #289; " + ft + " #261; " + ha + " #151568",
		Examples: []Example{{Status: 422, Body: envelope("Validation failed: Domain has already been taken")}},
	},
	{
		Code: CSRInvalid, Operations: register, Statuses: []int{422}, Pattern: pattern.New(`Csr is not a valid CSR`),
		Actor: ActorTesla, Retry: RetrySlow,
		Summary: "Tesla finds fault with a certificate request that was not sent",
		Cause:   "wellkey sends no certificate request: Tesla's old record of this application holds one that it no longer accepts.",
		Fix:     "Ask Tesla's support to repair the record and give them the txid, or make a new application.",
		Source:  vc + " #251; " + ft + " #160", Examples: []Example{{Status: 422, Body: envelope("Validation failed: Csr is not a valid CSR")}},
	},
	{
		Code: KeyTooLarge, Operations: register, Statuses: []int{424}, Pattern: pattern.New(`Public key download failed.*too large`),
		Actor: ActorOperator, Retry: RetryCheck,
		Summary: "what Tesla downloads is too large to be the key",
		Cause: "Something else than a P-256 public key is published at {key_url}: an RSA key, a certificate, or a web page. " +
			"wellkey publishes nothing of that kind, so another server answers there.",
		Fix:      checkKey + " Let {domain} lead to wellkey.",
		Source:   ft + " #355",
		Examples: []Example{{Status: 424, Body: envelope("Public key download failed for {key_url}, error: too large")}},
	},
	{
		Code: UpdateInProgress, Operations: partner, Statuses: []int{429}, Pattern: pattern.New(`(?i)other update in progress`),
		Actor: ActorNobody, Retry: RetrySoon,
		Summary: "Tesla is still busy with another change of this account",
		Cause:   "Two requests for the same application came at once.",
		Fix:     waits + " See that the application is not registered by another program too.",
		Source:  "seen by the client tescmd", Examples: []Example{{Status: 429, Body: envelope("Other update in progress")}},
	},
	{
		Code: InternalError, Operations: all, Statuses: []int{500}, Pattern: pattern.New(`upstream internal error`),
		Actor: ActorTesla, Retry: RetrySoon,
		Summary: "Internal error at Tesla",
		Cause:   "A service of Tesla failed. New applications met this for hours or days.",
		Fix:     waits + " " + openTicket,
		Source:  vc + " #17, #20", Examples: []Example{{Status: 500, Body: envelope("upstream internal error")}},
	},

	// Statuses.
	{
		Code: KeyDownloadFailed, Operations: register, Statuses: []int{424},
		Actor: ActorOperator, Retry: RetryCheck,
		Summary: "Tesla could not download the key",
		Cause: "Tesla fetches {key_url} while it registers, and did not get it: the address does not lead here from outside, a " +
			"firewall or a bot check stands in the way, the certificate is not trusted, or the answer is a redirect.",
		Fix:    checkKey + " Tesla may come from any country and any address.",
		Source: ha + " #149812, #151926, #170342, #170960",
		Examples: []Example{
			{Status: 424, Body: envelope("Public key download failed for {key_url}, error: 403 forbidden")},
			{Status: 424, Body: ``},
		},
	},
	{
		Code: ValidationFailed, Operations: partner, Statuses: []int{422},
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla finds fault with the registration",
		Cause:   "Tesla checked the registration of {domain} and its key, and did not accept it. It may have given a reason, which is quoted.",
		Fix:     checkKey + " Then compare domain and application on " + portal + ".",
		Source:  "github.com/iainbullock/tesla-http-proxy-docker #19, #29", Examples: []Example{{Status: 422, Body: envelope("")}},
	},
	{
		Code: TokenExpired, Operations: partner, Statuses: []int{401},
		Actor: ActorNobody, Retry: RetrySoon,
		Summary: "Tesla does not accept the token",
		Cause:   "Tesla does not know the token yet, or ended it early. It was a new one: an older one is replaced at once.",
		Fix:     waits, Source: "the client python-tesla-fleet-api; " + conventions,
		Examples: []Example{
			{Status: 401, Body: envelope("token expired (401)")},
			{Status: 401, Body: envelope("invalid bearer token")},
			{Status: 401, Body: ``},
		},
	},
	{
		Code: Unauthorized, Operations: forToken, Statuses: []int{401},
		Actor: ActorOperator, Retry: RetryDaily,
		Summary: "Tesla does not accept the application's credentials",
		Cause:   "Tesla gave no reason that is known. Most likely the secret does not belong to client id {client_id}.",
		Fix:     "Compare client_id and client_secret with the application's page on " + portal + ".",
		Source:  conventions, Examples: []Example{{Status: 401, Body: ``}},
	},
	{
		Code: PaymentRequired, Operations: all, Statuses: []int{402},
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla requires a payment",
		Cause:   "The application is over its billing limit, or has no way of payment.",
		Fix:     "On " + portal + ", look at usage and billing of the application, and raise the limit or add a payment.",
		Source:  docs + "/billing-and-limits", Examples: []Example{{Status: 402, Body: envelope("")}},
	},
	{
		Code: WAFBlocked, Operations: all, Statuses: []int{403}, Bodies: []Body{BodyOther, BodyEmpty},
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla's firewall blocked the request",
		Cause: "The answer does not come from the Fleet API but from the firewall in front of it, or from a proxy on the way. " +
			"The firewall blocks some hosting networks and VPNs; a wrong secret was seen to end here too.",
		Fix:    "Try from another address, without VPN or proxy; and compare client_id and client_secret with the application's page on " + portal + ".",
		Source: "seen at auth.tesla.cn and fleet-auth.prd.vn.cloud.tesla.com",
		Examples: []Example{
			{Status: 403, Body: "<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\nhttps://errors.edgesuite.net/\n</BODY>\n</HTML>\n"},
			{Status: 403, Body: ``},
		},
	},
	{
		Code: Forbidden, Operations: all, Statuses: []int{403},
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla forbids it",
		Cause:   "The application may not do this, or is limited, for instance because a payment is missing.",
		Fix:     "On " + portal + ", look at the state, scopes and billing of application {client_id}.",
		Source:  conventions, Examples: []Example{{Status: 403, Body: envelope("forbidden")}},
	},
	{
		Code: NotFound, Operations: all, Statuses: []int{404},
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "there is no such endpoint",
		Cause:   "The request did not reach the Fleet API, or Tesla moved the endpoint.",
		Fix:     "Remove the settings tesla_auth_url and tesla_api_url_{region}. If they are not set, look for a newer wellkey.",
		Source:  conventions, Examples: []Example{{Status: 404, Body: ``}},
	},
	{
		Code: RateLimited, Operations: all, Statuses: []int{429},
		Actor: ActorNobody, Retry: RetrySoon,
		Summary: "Tesla asks for fewer requests",
		Cause:   "The application made too many requests; wellkey itself makes a few a day.",
		Fix:     "Nothing has to be done: wellkey waits as long as Tesla asks. See what else uses application {client_id}.",
		Source:  docs + "/billing-and-limits", Examples: []Example{{Status: 429, Body: envelope(""), Header: map[string]string{"Retry-After": "60"}}},
	},
	{
		Code: Unavailable, Operations: all, Statuses: []int{5, 408},
		Actor: ActorTesla, Retry: RetrySoon,
		Summary: "Tesla is not available",
		Cause:   "Tesla's service is down, overloaded or under maintenance.",
		Fix:     waits, Source: conventions,
		Examples: []Example{
			{Status: 503, Body: ``},
			{Status: 504, Body: "<html><body><h1>504 Gateway Time-out</h1></body></html>\n"},
			{Status: 500, Body: ``},
			{Status: 540, Body: envelope("")},
		},
	},
	{
		Code: Redirected, Operations: all, Statuses: []int{3},
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "the answer leads to another place, where wellkey does not go",
		Cause: "Tesla's endpoints do not redirect: a proxy, a login page of the network, or a wrong address answers. " +
			"Secret and token were not sent on.",
		Fix:      "Remove the settings tesla_auth_url and tesla_api_url_{region}, and see that the machine reaches the internet directly.",
		Source:   "wellkey's own rule",
		Examples: []Example{{Status: 307, Body: ``, Header: map[string]string{"Location": "https://login.example.net/"}}},
	},
	{
		Code: NotJSON, Operations: all, Statuses: []int{2, 4}, Bodies: []Body{BodyOther},
		Actor: ActorOperator, Retry: RetrySoon,
		Summary: "the answer is not that of an API",
		Cause:   "A web page or plain text came instead of JSON: from a proxy, a login page of the network, a wrong address, or a maintenance page of Tesla.",
		Fix:     "If it does not pass, remove the settings tesla_auth_url and tesla_api_url_{region}, and see that the machine reaches the internet directly.",
		Source:  "wellkey's own rule",
		Examples: []Example{
			{Status: 200, Body: "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body></body></html>\n"},
			{Status: 400, Body: "Bad Request\n"},
		},
	},
	{
		Code: UnknownRefusal, Operations: all, Statuses: []int{4}, Bodies: []Body{BodyJSON, BodyEmpty},
		Actor: ActorOperator, Retry: RetrySlow,
		Summary: "Tesla refuses for a reason that wellkey does not know",
		Cause:   "See Tesla's text, where there is one, and the status.",
		Fix:     "Report Tesla's text to wellkey's issues, so that the next person is told more. " + openTicket,
		Source:  conventions, Examples: []Example{{Status: 409, Body: envelope("conflict")}},
	},
	{
		Code: BadAnswer, Operations: all,
		Actor: ActorTesla, Retry: RetrySoon,
		Summary: "the answer makes no sense",
		Cause:   "The answer is cut, too large, ambiguous, or lacks what it must hold.",
		Fix:     waits + " If it goes on, look for a newer wellkey: Tesla may have changed its answers.",
		Source:  "wellkey's own rule",
		Examples: []Example{
			{Status: 200, Body: `{"response":null}`},
			{Status: 200, Body: `{"response":{"public_key":"04`},
			{Status: 400, Body: `{"error":"one","error":"two"}`},
			{Status: 200, Body: ``},
		},
	},

	// What is decided on this side.
	{
		Code: Timeout, Operations: all, Local: true, Actor: ActorNobody, Retry: RetrySoon,
		Summary: "no answer in time",
		Cause:   "Tesla is slow, or packets to it are lost.",
		Fix:     waits, Source: "wellkey's own deadline",
	},
	{
		Code: DNS, Operations: all, Local: true, Actor: ActorOperator, Retry: RetrySoon,
		Summary: "the name of Tesla's host does not resolve",
		Cause:   "The machine's resolver does not answer, or a filter blocks the name.",
		Fix:     "See that this machine resolves the hosts of {auth_url} and {base_url}, in the container too.",
		Source:  "the machine's resolver",
	},
	{
		Code: TLS, Operations: all, Local: true, Actor: ActorOperator, Retry: RetrySoon,
		Summary: "no safe connection to Tesla",
		Cause:   "The certificate could not be verified or the handshake failed: a proxy inspects TLS, root certificates are missing, the clock is wrong, or the address is.",
		Fix:     "See that nothing intercepts TLS, that the machine has current root certificates, and that its clock is right.",
		Source:  "the TLS handshake",
	},
	{
		Code: ConnectionRefused, Operations: all, Local: true, Actor: ActorOperator, Retry: RetrySoon,
		Summary: "nobody listens at Tesla's address",
		Cause:   "A firewall rejects the connection, or the address is wrong.",
		Fix:     "Allow outgoing connections to {auth_url} and {base_url}.",
		Source:  "the machine's network",
	},
	{
		Code: ConnectionReset, Operations: all, Local: true, Actor: ActorNobody, Retry: RetrySoon,
		Summary: "the connection broke",
		Cause:   "Tesla or something on the way closed the connection before the answer was complete.",
		Fix:     waits, Source: "the machine's network",
	},
	{
		Code: Network, Operations: all, Local: true, Actor: ActorOperator, Retry: RetrySoon,
		Summary: "the request failed on the way",
		Cause:   "The network has no route, a proxy fails, or what answers does not speak HTTP.",
		Fix:     "See that this machine reaches {auth_url} and {base_url}, through a proxy if HTTPS_PROXY is set.",
		Source:  "the machine's network",
	},
}
