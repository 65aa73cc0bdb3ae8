//! The examples, as a stranger copies them for an issuer of their own.

/// Each example, with the number of clusters that lead to the issuer.
pub(crate) const EXAMPLES: [(&str, usize); 2] = [("envoy.yaml", 1), ("sidecar.yaml", 2)];

/// The example with another host in place of the demo's issuer, and nothing else changed.
pub(crate) fn with_host(example: &str) -> String {
    example.replace("address: 127.0.0.1, port_value: 9000", "address: idp.example.com, port_value: 443")
}

/// The same with the TLS that its comment shows, on each cluster of the issuer, and nothing allowed there any more.
pub(crate) fn with_tls(example: &str) -> String {
    let lines = example.lines().skip_while(|line| *line != "  #   transport_socket:");
    let lines = lines.map_while(|line| line.strip_prefix("  # ").filter(|line| line.starts_with("  ")));
    let socket: String = lines.map(|line| format!("  {line}\n")).collect();
    let socket = socket.replace("issuer.example", "idp.example.com");
    let mut copied =
        with_host(example).replace("  # attachectl: allow endpoint-loopback", "  # allowed before:");
    for cluster in ["idp", "idp-keys"] {
        let name = format!("  - name: {cluster}\n");
        copied = copied.replace(&name, &format!("{name}{socket}"));
    }
    copied
}
