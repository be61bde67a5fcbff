package conform

import (
	"fmt"
	"strings"
)

const markdownHead = `# Where this relay differs from ProxyStore's

This page is made from the table in package relaytest/conform: ` + "`relay conform --markdown`" + `. A test fails when it is
out of date, and the table is run on both relays in CI: each difference below is shown on ProxyStore %s, and its
absence on this relay. ` + "`relay conform --relay URL`" + ` runs the table on any relay.

Of %d cases, the two do the same in %d. These are the other %d.
`

// proxyStoreVersion is that which the table was made for.
const proxyStoreVersion = "1.1.0"

// Markdown returns a page with all differences between the two relays that are
// meant, and why.
func Markdown() string {
	cases := Table()
	differing := 0
	for _, c := range cases {
		if c.Differs() {
			differing++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, markdownHead, proxyStoreVersion, len(cases), len(cases)-differing, differing)
	section := ""
	for _, c := range cases {
		if !c.Differs() {
			continue
		}
		if c.Section != section {
			section = c.Section
			fmt.Fprintf(&b, "\n## %s\n\n| case | ProxyStore %s | this relay | why |\n|---|---|---|---|\n", section, proxyStoreVersion)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.Name, c.ProxyStore, c.ThisRelay, c.Why)
	}
	return b.String()
}
