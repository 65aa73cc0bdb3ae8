s#issuer: https://issuer.example$#issuer: https://issuer.example/realms/orders#
s#https://issuer.example/jwks#https://issuer.example/realms/orders/protocol/openid-connect/certs#
s#https://issuer.example/token#https://issuer.example/realms/orders/protocol/openid-connect/token#
s#^    port: 443$#    port: 10443#
/^    - name: orders$/{
N
s#.*#    - { group: gateway.envoyproxy.io, kind: Backend, name: orders }#
}
/^  provider:$/,/^---$/{
/^  provider:$/{
s#.*#  provider: { type: Host, host: { envoyVersion: "1.40.0" } }#
b
}
/^---$/!d
}
