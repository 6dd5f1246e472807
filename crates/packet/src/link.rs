//! Link types that headers are decoded for, by their LINKTYPE value (<https://www.tcpdump.org/linktypes.html>).

/// BSD loopback: 4 bytes of address family in the byte order of the capturing host.
pub const NULL: u32 = 0;
/// Ethernet, from the destination address on, without preamble.
pub const ETHERNET: u32 = 1;
/// Raw IP as some systems wrote it before 101 was assigned (DLT_RAW of most BSDs).
pub const RAW_12: u32 = 12;
/// Raw IP as OpenBSD wrote it (DLT_RAW there).
pub const RAW_14: u32 = 14;
/// Raw IP, version by the first four bits.
pub const RAW: u32 = 101;
/// OpenBSD loopback: 4 bytes of address family, big endian.
pub const LOOP: u32 = 108;
/// Linux "cooked" capture, version 1, 16-byte header.
pub const LINUX_SLL: u32 = 113;
/// Raw IPv4.
pub const IPV4: u32 = 228;
/// Raw IPv6.
pub const IPV6: u32 = 229;
/// Linux "cooked" capture, version 2, 20-byte header.
pub const LINUX_SLL2: u32 = 276;

/// Tells whether a value stands for raw IP without a link header, version by its first four bits.
#[must_use]
pub const fn is_raw_ip(link_type: u32) -> bool {
    matches!(link_type, RAW | RAW_12 | RAW_14 | IPV4 | IPV6)
}
