//! Links, addresses and routes by rtnetlink: every pod has a routed pair of its own, and neighbours are told, never asked for.
//!
//! There is no bridge and no ARP: an ask that is sent before the other end is up would be repeated only after a second.

use super::namespace::Namespaces;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
    packet_route::{
        link::{InfoData, InfoVeth, LinkHeader},
        route::RouteScope,
    },
};
use std::{io, net::Ipv4Addr, os::fd::AsRawFd};

/// The next hop of every pod, on every pair; it needs no address of its own.
const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The loopback device of every namespace.
const LOOPBACK: u32 = 1;
/// The pod's end of a pair.
const ETH0: u32 = 2;

fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

/// A socket in the network namespace of this thread; its task ends with the last handle.
pub(super) fn connect() -> io::Result<Handle> {
    let (connection, handle, _) = new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The loopback device up, with these addresses beside 127.0.0.1, and this range routed to it.
pub(super) async fn loopback(handle: &Handle, addresses: &[Ipv4Addr], range: Option<(Ipv4Addr, u8, Ipv4Addr)>) -> io::Result<()> {
    handle.link().change(LinkUnspec::new_with_index(LOOPBACK).up().build()).execute().await.map_err(io_error)?;
    for address in addresses {
        handle.address().add(LOOPBACK, (*address).into(), 32).execute().await.map_err(io_error)?;
    }
    if let Some((to, prefix, source)) = range {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, prefix)
            .output_interface(LOOPBACK)
            .pref_source(source)
            .scope(RouteScope::Link)
            .build();
        handle.route().add(route).execute().await.map_err(io_error)?;
    }
    Ok(())
}

/// Ties a pod to the hub: `index` is the hub end's, used for nothing else there.
pub(super) async fn tie(
    hub: &Handle,
    pod: &Handle,
    namespaces: &Namespaces,
    index: u32,
    address: Ipv4Addr,
    node: Ipv4Addr,
) -> io::Result<()> {
    let [_, a, b, c] = index.to_be_bytes();
    let (here, there) = ([0x0a, 0x58, 0, a, b, c], [0x0a, 0x59, 0, a, b, c]);
    let mut peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name("eth0")
        .index(ETH0)
        .address(there.to_vec())
        .setns_by_fd(namespaces.network().as_raw_fd())
        .build();
    peer.header = LinkHeader { index: ETH0, ..peer.header };
    let pair = LinkMessageBuilder::<LinkVeth>::new(&format!("v{index}"), "eth0")
        .index(index)
        .address(here.to_vec())
        .up()
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    hub.link().add(pair).execute().await.map_err(io_error)?;
    let hub_side = async {
        hub.neighbours().add(index, address.into()).link_layer_address(&there).execute().await.map_err(io_error)?;
        let route = pod_route(index, address).pref_source(node).build();
        // A pod that went a moment ago may have had the address.
        hub.route().add(route).replace().execute().await.map_err(io_error)
    };
    let pod_side = async {
        loopback(pod, &[], None).await?;
        // Only now: a peer that comes up before it has its other end is refused.
        pod.link().change(LinkUnspec::new_with_index(ETH0).up().build()).execute().await.map_err(io_error)?;
        pod.address().add(ETH0, address.into(), 32).execute().await.map_err(io_error)?;
        pod.neighbours().add(ETH0, NEXT_HOP.into()).link_layer_address(&here).execute().await.map_err(io_error)?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(NEXT_HOP).output_interface(ETH0).pref_source(address).onlink().build();
        pod.route().add(route).execute().await.map_err(io_error)
    };
    tokio::try_join!(hub_side, pod_side).map(|_| ())
}

fn pod_route(index: u32, address: Ipv4Addr) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).output_interface(index).scope(RouteScope::Link)
}

/// Takes away the way to a pod; one that is gone (its plug is pulled) is no error.
pub(super) async fn forget(hub: &Handle, index: u32, address: Ipv4Addr) -> io::Result<()> {
    match hub.route().del(pod_route(index, address).build()).execute().await.map_err(io_error) {
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => Ok(()),
        other => other,
    }
}

/// Takes a pod's hub end down, as pulling the plug: what it sends and what is sent to it is lost without a word.
pub(super) async fn unplug(hub: &Handle, index: u32) -> io::Result<()> {
    hub.link().change(LinkUnspec::new_with_index(index).down().build()).execute().await.map_err(io_error)
}
