// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddressPolicyCheck(t *testing.T) {
	for address, kind := range map[string]string{
		"8.8.8.8":              "",
		"10.0.0.1":             "",
		"172.16.0.1":           "",
		"192.168.1.1":          "",
		"100.64.0.1":           "", // used by clusters
		"100.100.100.199":      "",
		"100.100.100.201":      "",
		"126.255.255.255":      "",
		"128.0.0.0":            "",
		"1.0.0.0":              "",
		"169.253.255.255":      "",
		"169.255.0.0":          "",
		"223.255.255.255":      "",
		"240.0.0.0":            "", // used by clusters
		"255.255.255.254":      "",
		"2606:4700::6810:1":    "",
		"fd00::1":              "",
		"fd00:ec2::253":        "",
		"fe7f::1":              "",
		"::ffff:10.0.0.1":      "",
		"64:ff9b::8.8.8.8":     "",
		"2002:808:808::1":      "",
		"2001:db8::7f00:1":     "",
		"2003:7f00:1::":        "",
		"64:ff9b:2::127.0.0.1": "",

		"127.0.0.0":                  "a loopback",
		"127.0.0.1":                  "a loopback",
		"127.255.255.255":            "a loopback",
		"::1":                        "a loopback",
		"0.0.0.0":                    "an unspecified",
		"0.255.255.255":              "an unspecified",
		"::":                         "an unspecified",
		"169.254.0.0":                "a link-local",
		"169.254.169.254":            "a link-local",
		"169.254.255.255":            "a link-local",
		"fe80::1":                    "a link-local",
		"fe80::1%eth0":               "a link-local",
		"febf::1":                    "a link-local",
		"224.0.0.0":                  "a multicast",
		"224.0.0.251":                "a multicast",
		"239.255.255.255":            "a multicast",
		"ff00::":                     "a multicast",
		"ff02::1":                    "a multicast",
		"255.255.255.255":            "a broadcast",
		"100.100.100.200":            "a metadata service's",
		"168.63.129.16":              "a metadata service's",
		"192.0.0.192":                "a metadata service's",
		"fd00:ec2::254":              "a metadata service's",
		"fd20:ce::254":               "a metadata service's",
		"fd00:42::42":                "a metadata service's",
		"fd00:c1::a9fe:a9fe":         "a metadata service's",
		"::ffff:127.0.0.1":           "a loopback",
		"::ffff:169.254.169.254":     "a link-local",
		"::127.0.0.1":                "a loopback",
		"::ffff:0:127.0.0.1":         "a loopback",
		"64:ff9b::127.0.0.1":         "a loopback",
		"64:ff9b::100.100.100.200":   "a metadata service's",
		"64:ff9b:1::169.254.169.254": "a link-local",
		"2002:7f00:1::":              "a loopback",
		"2002:a9fe:a9fe:1::1":        "a link-local",
		"2001:0:1:2:3:4:80ff:fffe":   "a loopback", // Teredo inverts 127.0.0.1
	} {
		err := AddressPolicy{}.Check(netip.MustParseAddr(address))
		if (err == nil) != (kind == "") {
			t.Errorf("Check(%s) = %v, want %q", address, err, kind)
			continue
		}
		if err == nil {
			continue
		}
		shown := netip.MustParseAddr(address).Unmap().WithZone("").String()
		if want := shown + ", " + kind + " address, which the operator's flag --allowed-addresses does not permit"; err.Error() != want {
			t.Errorf("Check(%s) = %q, want %q", address, err, want)
		}
		if err := AnyAddress().Check(netip.MustParseAddr(address)); err != nil {
			t.Errorf("AnyAddress().Check(%s) = %v", address, err)
		}
	}
}

func TestAddressPolicyCheck_Allowed(t *testing.T) {
	for name, test := range map[string]struct {
		allowed, address string
		want             bool
	}{
		"the address":               {"127.0.0.1", "127.0.0.1", true},
		"another address":           {"127.0.0.1", "127.0.0.2", false},
		"a prefix":                  {"127.0.0.0/8", "127.1.2.3", true},
		"a prefix with host bits":   {"127.0.0.1/8", "127.1.2.3", true},
		"the second":                {"10.0.0.1,::1", "::1", true},
		"the other family":          {"127.0.0.1", "::1", false},
		"mapped":                    {"127.0.0.1", "::ffff:127.0.0.1", true},
		"mapped in the flag":        {"::ffff:127.0.0.1", "127.0.0.1", true},
		"a zone":                    {"fe80::1", "fe80::1%eth0", true},
		"a zone in the flag":        {"fe80::1%eth0", "fe80::1", true},
		"NAT64":                     {"127.0.0.1", "64:ff9b::127.0.0.1", true},
		"NAT64 of another":          {"127.0.0.1", "64:ff9b::127.0.0.2", false},
		"NAT64, allowed as such":    {"64:ff9b::127.0.0.2", "64:ff9b::127.0.0.2", true},
		"metadata beside":           {"fd00:ec2::/64", "fd00:ec2::254", true},
		"one that is never refused": {"127.0.0.1", "10.0.0.1", true},
		"IPv4 does not permit IPv6": {"0.0.0.0/0", "::1", false},
	} {
		allowed, err := ParseAddresses(strings.Split(test.allowed, ","))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := (AddressPolicy{Allowed: allowed}).Check(netip.MustParseAddr(test.address)); (err == nil) != test.want {
			t.Errorf("%s: Check(%s) = %v, want permitted: %t", name, test.address, err, test.want)
		}
	}
}

func TestParseAddresses(t *testing.T) {
	got, err := ParseAddresses([]string{" 127.0.0.1 ", "", "169.254.3.4/16", "::1", "fe80::/10"})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, prefix := range got {
		texts = append(texts, prefix.String())
	}
	if diff := cmp.Diff([]string{"127.0.0.1/32", "169.254.0.0/16", "::1/128", "fe80::/10"}, texts); diff != "" {
		t.Errorf("ParseAddresses (-want +got):\n%s", diff)
	}
	for _, text := range []string{"localhost", "127.0.0.1:80", "[::1]", "127.0.0.1/33", "::1/129", "127.1", "10.0.0.0/", "*", "::ffff:127.0.0.0/104", "fe80::1%eth0/64"} {
		if got, err := ParseAddresses([]string{"::1", text}); err == nil || !strings.Contains(err.Error(), `"`+text+`"`) || got != nil {
			t.Errorf("ParseAddresses(%q) = %v, %v; want an error that names it", text, got, err)
		}
	}
}
