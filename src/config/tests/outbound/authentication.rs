//! As whom a client asks.

use super::*;
use crate::oauth::{Authentication, BasicEncoding};

fn authenticating(method: &str, fields: Json) -> Json {
    with("/clients/0/authentication", json!({ method: fields }))
}

/// The block with a client that signs, and the problems of that with their path cut off.
fn signing(more: Json) -> Json {
    let mut fields =
        json!({ "key": { "env": "EC_KEY" }, "algorithm": "ES256", "audience": "https://idp.example" });
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            fields.as_object_mut().unwrap().remove(name);
        } else {
            fields[name] = value.clone();
        }
    }
    authenticating("private_key_jwt", fields)
}

#[track_caller]
fn refuses_to_sign(more: Json, problem: &str) {
    let problem = format!("{CLIENT}.authentication.private_key_jwt{problem}");
    assert_eq!(problems(&signing(more.clone())), [problem], "{more}");
}

#[test]
fn a_secret_is_one_line_of_text() {
    for method in ["client_secret_basic", "client_secret_post"] {
        let env = |name: &str| authenticating(method, json!({ "secret": { "env": name } }));
        for (name, secret) in
            [("CLIENT_SECRET", "hunter2 ü"), ("LINE", "hunter2"), ("LONGEST", &"x".repeat(4096))]
        {
            let client = client(&env(name));
            let (Authentication::Basic(found, _) | Authentication::Post(found)) =
                &client.request.credentials.authentication
            else {
                panic!()
            };
            assert_eq!(found.expose(), secret.as_bytes());
        }
        let control = "the variable holds control characters: a secret is one line of text";
        for (name, problem) in [
            ("EMPTY", "the variable is empty"),
            ("NEWLINE", "the variable is empty"),
            ("TOO_LONG", "the variable holds more than 4096 bytes"),
            ("LINES", control),
            (
                "UNSET",
                "the environment variable UNSET is not set: pass it to the VM, or export it for attachectl",
            ),
        ] {
            let problem = format!("{CLIENT}.authentication.{method}.secret.env: {problem}");
            assert_eq!(problems(&env(name)), [problem]);
        }
    }
}

#[test]
fn id_and_secret_are_form_encoded_unless_the_server_wants_them_as_they_are() {
    let basic = |id: &str, encoding: Json| {
        let mut document =
            authenticating("client_secret_basic", json!({ "secret": { "env": "CLIENT_SECRET" } }));
        document["outbound"]["clients"][0]["client_id"] = json!(id);
        if !encoding.is_null() {
            document["outbound"]["clients"][0]["authentication"]["client_secret_basic"]["encoding"] =
                encoding;
        }
        document
    };
    for (id, encoding, expected) in [
        ("orders", Json::Null, BasicEncoding::Form),
        ("https://orders.example", json!("form"), BasicEncoding::Form),
        ("orders service", json!("none"), BasicEncoding::None),
    ] {
        let client = client(&basic(id, encoding));
        let Authentication::Basic(_, encoding) = client.request.credentials.authentication else { panic!() };
        assert_eq!(encoding, expected, "{id}");
    }
    let place = format!("{CLIENT}.authentication.client_secret_basic.encoding");
    for id in ["a:b", ":", "https://orders.example"] {
        let colon = "`client_id` contains a colon, at which the server would end it: only `form` escapes it";
        assert_eq!(problems(&basic(id, json!("none"))), [format!("{place}: {colon}")], "{id}");
    }
    assert_eq!(problems(&basic("a", json!("url"))), [format!("{place}: expected one of form, none")]);
    let mut post = authenticating("client_secret_post", json!({ "secret": { "env": "CLIENT_SECRET" } }));
    post["outbound"]["clients"][0]["authentication"]["client_secret_post"]["encoding"] = json!("none");
    let unknown = "unknown field `encoding`, expected one of secret";
    assert_eq!(problems(&post), [format!("{CLIENT}.authentication.client_secret_post: {unknown}")]);
}

#[test]
fn a_client_has_a_name_unless_its_cluster_sets_the_credential() {
    let with_id = |id: Option<&str>, method: &str| {
        let mut document = authenticating(method, json!({}));
        let client = document["outbound"]["clients"][0].as_object_mut().unwrap();
        client.remove("client_id");
        client.extend(id.map(|id| ("client_id".to_owned(), json!(id))));
        document
    };
    let missing = format!("{CLIENT}: missing field `client_id`");
    assert_eq!(problems(&with_id(None, "tls_client_auth")), [missing]);
    assert_eq!(problems(&with_id(Some("orders"), "tls_client_auth")), Vec::<String>::new());
    for id in [None, Some("orders")] {
        let client = client(&with_id(id, "set_by_cluster"));
        assert_eq!(client.request.credentials.client_id.as_deref(), id);
        assert!(matches!(client.request.credentials.authentication, Authentication::SetByCluster));
    }
    let control = format!("{CLIENT}.client_id: expected a string without control characters");
    refuses("/clients/0/client_id", json!("a\nb"), &control);
    for method in ["tls_client_auth", "set_by_cluster"] {
        let document = authenticating(method, json!({ "secret": "x" }));
        assert_eq!(problems(&document), [format!("{CLIENT}.authentication.{method}: expected {{}}")]);
    }
    let both = json!({ "tls_client_auth": {}, "set_by_cluster": {} });
    let methods = "client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, set_by_cluster";
    let one_of = format!("{CLIENT}.authentication: expected exactly one of {methods}");
    refuses("/clients/0/authentication", both, &one_of);
}

#[test]
fn an_assertion_is_signed_as_the_key_can() {
    let assertion = |more: Json| {
        let client = client(&signing(more));
        let Authentication::PrivateKeyJwt(assertion) = &client.request.credentials.authentication else {
            panic!()
        };
        assertion.clone()
    };
    let made = assertion(json!({}));
    assert_eq!((made.algorithm.name(), made.kid.as_deref()), ("ES256", Some("ec-1")));
    assert_eq!(
        (&*made.audience, made.lifetime.as_secs(), made.thumbprint),
        ("https://idp.example", 60, None)
    );
    let thumbprint = "A".repeat(43);
    let made = assertion(json!({ "kid": "other", "lifetime": "5m", "certificate_thumbprint": thumbprint }));
    assert_eq!((made.kid.as_deref(), made.lifetime.as_secs()), (Some("other"), 300));
    assert_eq!(made.thumbprint, Some([0; 32]));
    assert_eq!(assertion(json!({ "key": { "env": "ED_KEY" }, "algorithm": "EdDSA" })).kid, None);
    assert_eq!(assertion(json!({ "key": { "env": "RSA_KEY" }, "algorithm": "RS512" })).kid, None);

    refuses_to_sign(json!({ "algorithm": null }), ": missing field `algorithm`");
    refuses_to_sign(json!({ "key": null }), ": missing field `key`");
    refuses_to_sign(
        json!({ "algorithm": "HS256" }),
        ".algorithm: expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA",
    );
    refuses_to_sign(
        json!({ "algorithm": "RS256" }),
        ".algorithm: the key does not sign RS256: it signs ES256",
    );
    refuses_to_sign(
        json!({ "key": { "env": "UNSET" } }),
        ".key.env: the environment variable UNSET is not set: pass it to the VM, or export it for attachectl",
    );
    refuses_to_sign(
        json!({ "key": { "env": "CLIENT_SECRET" } }),
        ".key.env: expected a private key in PEM, or a private JSON Web Key",
    );
    refuses_to_sign(json!({ "lifetime": "301s" }), ".lifetime: expected a duration from 1s to 300s");
    refuses_to_sign(json!({ "lifetime": "999ms" }), ".lifetime: expected a duration from 1s to 300s");
    for odd in ["A".repeat(42), "A".repeat(44), "=".repeat(43), "x".to_owned()] {
        refuses_to_sign(
            json!({ "certificate_thumbprint": odd }),
            ".certificate_thumbprint: expected the SHA-256 of a certificate, base64url without padding",
        );
    }
    refuses_to_sign(json!({ "kid": "" }), ".kid: the string is empty");
}

#[test]
fn an_assertion_is_for_the_issuer_or_for_whom_it_says() {
    refuses_to_sign(
        json!({ "audience": null }),
        ": name the `audience`: the issuer, or the token endpoint's URL if the server wants that",
    );
    let mut document = discovering(json!({ "issuer": "https://idp.example/a" }));
    let authentication = &mut document["outbound"]["clients"][0]["authentication"];
    *authentication = json!({ "private_key_jwt": { "key": { "env": "EC_KEY" }, "algorithm": "ES256" } });
    let client = client(&document);
    let Authentication::PrivateKeyJwt(made) = &client.request.credentials.authentication else { panic!() };
    assert_eq!(&*made.audience, "https://idp.example/a");
    // Whose issuer cannot be read is not asked for an audience besides.
    document["outbound"]["clients"][0]["discovery"]["issuer"] = json!(7);
    assert_eq!(problems(&document), [format!("{CLIENT}.discovery.issuer: expected a string, got a number")]);
}

#[test]
fn only_who_says_so_signs_with_rsa_outside_of_envoy() {
    let rsa = |algorithm: &str, portable: &str| {
        json!({ "key": { "env": "RSA_KEY" }, "algorithm": algorithm,
      "portable_rsa": portable })
    };
    assert_eq!(problems(&signing(rsa("PS256", "allow"))), Vec::<String>::new());
    assert_eq!(problems(&signing(rsa("RS256", "allow"))), Vec::<String>::new());
    assert_eq!(problems(&signing(rsa("RS256", "deny"))), Vec::<String>::new());
    for algorithm in ["PS256", "PS384", "PS512"] {
        refuses_to_sign(
            rsa(algorithm, "deny"),
            &format!(
                ".algorithm: Envoy does not sign {algorithm}: choose RS256, or read what `portable_rsa: allow` means"
            ),
        );
    }
    refuses_to_sign(json!({ "portable_rsa": "yes" }), ".portable_rsa: expected one of deny, allow");
    refuses_to_sign(
        json!({ "portable_rsa": "allow" }),
        ".portable_rsa: ES256 is not an RSA algorithm: leave `portable_rsa` out",
    );
    let debug = |portable| format!("{:?}", compiled(&signing(rsa("RS256", portable))).unwrap());
    assert!(debug("allow").contains("portable_rsa: true") && debug("deny").contains("portable_rsa: false"));
}
