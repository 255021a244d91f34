// Package collector takes page views, form submissions and sessions over HTTP, checks
// and cleans them, and hands them to a store.
//
// Three rules hold everywhere:
//
//   - An answer of 2xx comes after [Store.Add] has returned: what was acknowledged is on disk.
//     One request body is one call of Add; a body that breaks off leaves nothing behind.
//   - A bad record never costs its neighbours: it is listed with its line and the reason.
//   - IP addresses, e-mail addresses and phone numbers go no further than this package.
//     An address is used for rate limits and for [Config.Geo]; URLs and titles are scrubbed
//     before anything is stored, and no value of a record is ever logged.
//
// # Caveats
//
// Strings of a decoded record share the memory of its line, so keeping one keeps the line.
package collector
