// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// AddressPolicy restricts the IP addresses that a Client connects to. A name in a Secret can resolve
// to any address, now or later, so the policy applies to the address of each connection. The zero
// value refuses addresses that no API has, but that give access to the operator's Pod, to its node or
// to the credentials of its machine: loopback, link-local, multicast, unspecified and broadcast
// addresses, and those of metadata services. It permits all others, private ones too, because servers
// in the cluster have them.
type AddressPolicy struct {
	// Allowed are the exceptions.
	Allowed []netip.Prefix
}

// AnyAddress returns a policy that permits every address, for programs that run with the permissions
// of the user who chooses the endpoint.
func AnyAddress() AddressPolicy {
	return AddressPolicy{Allowed: []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}}
}

// Check returns an error if the policy refuses an address. The error describes the address and names
// the flag of the operator that permits it.
func (p AddressPolicy) Check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	if p.allows(address) {
		return nil
	}
	kind := refusedKind(address)
	if inner, ok := embedded(address); ok && kind == "" && !p.allows(inner) {
		kind = refusedKind(inner)
	}
	if kind == "" {
		return nil
	}
	return fmt.Errorf("%s, %s address, which the operator's flag --allowed-addresses does not permit", address, kind)
}

func (p AddressPolicy) allows(address netip.Addr) bool {
	for _, prefix := range p.Allowed {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// ParseAddresses parses the entries of AddressPolicy.Allowed: addresses and CIDRs. It drops empty
// entries.
func ParseAddresses(texts []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, original := range texts {
		text := strings.TrimSpace(original)
		if text == "" {
			continue
		}
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("allowed address %q: must be an IP address or a CIDR, such as 127.0.0.1 or 169.254.0.0/16", original)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if err == nil && prefix.Addr().Is4In6() {
			err = errors.New("an IPv4 prefix in the form of IPv6 contains no address")
		}
		return prefix.Masked(), err
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return address.Unmap().WithZone("").Prefix(address.Unmap().BitLen())
}

// metadata are the addresses at which clouds serve credentials and settings to their machines, except
// those that are link-local.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),      // AWS
	netip.MustParseAddr("fd20:ce::254"),       // Google Cloud
	netip.MustParseAddr("168.63.129.16"),      // Azure
	netip.MustParseAddr("100.100.100.200"),    // Alibaba Cloud
	netip.MustParseAddr("192.0.0.192"),        // Oracle Cloud
	netip.MustParseAddr("fd00:42::42"),        // Scaleway
	netip.MustParseAddr("fd00:c1::a9fe:a9fe"), // Oracle Cloud
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.MustParseAddr("255.255.255.255")
)

// refusedKind describes why an address is refused by default. It returns an empty string for all
// others.
func refusedKind(address netip.Addr) string {
	switch {
	case address.IsLoopback():
		return "a loopback"
	case address.IsUnspecified(), thisNetwork.Contains(address):
		return "an unspecified"
	case address.IsMulticast():
		return "a multicast"
	case address == broadcast:
		return "a broadcast"
	case address.IsLinkLocalUnicast():
		return "a link-local"
	}
	for _, known := range metadata {
		if address == known {
			return "a metadata service's"
		}
	}
	return ""
}

// translations are the IPv6 prefixes of addresses that gateways and hosts translate to the IPv4
// address in them.
var translations = []struct {
	prefix netip.Prefix
	offset int // of the IPv4 address, in bytes
	invert bool
}{
	{prefix: netip.MustParsePrefix("64:ff9b::/96"), offset: 12},            // NAT64
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), offset: 12},          // NAT64, local prefix
	{prefix: netip.MustParsePrefix("2002::/16"), offset: 2},                // 6to4
	{prefix: netip.MustParsePrefix("2001::/32"), offset: 12, invert: true}, // Teredo
	{prefix: netip.MustParsePrefix("::ffff:0:0:0/96"), offset: 12},         // SIIT
	{prefix: netip.MustParsePrefix("::/96"), offset: 12},                   // IPv4-compatible
}

// embedded returns the IPv4 address in an IPv6 address that is translated to it.
func embedded(address netip.Addr) (netip.Addr, bool) {
	if !address.Is6() {
		return netip.Addr{}, false
	}
	all := address.As16()
	for _, form := range translations {
		if !form.prefix.Contains(address) {
			continue
		}
		inner := [4]byte(all[form.offset : form.offset+4])
		for i := range inner {
			if form.invert {
				inner[i] = ^inner[i]
			}
		}
		return netip.AddrFrom4(inner), true
	}
	return netip.Addr{}, false
}
