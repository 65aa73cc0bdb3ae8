//! A rate limit service: each client of a domain has so many requests in so many seconds, counted in a Redis.
//!
//! `limiter LISTEN REDIS DOMAIN REQUESTS SECONDS`. A descriptor `client` names the client. Where Redis does not answer,
//! the caller gets an error and decides itself.

use std::collections::HashMap;
use std::error::Error;

use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use limitador::AsyncRateLimiter;
use limitador::limit::{Limit, Namespace};
use limitador::storage::redis::AsyncRedisStorage;
use tonic::{Request, Response, Status};

struct Service(AsyncRateLimiter);

#[tonic::async_trait]
impl RateLimitService for Service {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let request = request.into_inner();
        let namespace = Namespace::from(request.domain.as_str());
        let hits = i64::from(request.hits_addend.max(1));
        let mut code = Code::Ok;
        for descriptor in request.descriptors {
            let entries = descriptor.entries.into_iter();
            let values: HashMap<String, String> = entries.map(|entry| (entry.key, entry.value)).collect();
            let checked = self.0.check_rate_limited_and_update(&namespace, &values, hits, false).await;
            if checked.map_err(|error| Status::unavailable(error.to_string()))?.limited {
                code = Code::OverLimit;
            }
        }
        Ok(Response::new(RateLimitResponse { overall_code: code.into(), ..RateLimitResponse::default() }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, redis, domain, requests, seconds] = arguments.as_slice() else {
        return Err("limiter LISTEN REDIS DOMAIN REQUESTS SECONDS".into());
    };
    let limiter = AsyncRateLimiter::new_with_storage(Box::new(AsyncRedisStorage::new(redis).await?));
    let no_conditions: [&str; 0] = [];
    limiter.add_limit(Limit::new(
        domain.as_str(),
        requests.parse()?,
        seconds.parse()?,
        no_conditions,
        ["client"],
    ));
    println!("ready");
    tonic::transport::Server::builder()
        .add_service(RateLimitServiceServer::new(Service(limiter)))
        .serve(listen.parse()?)
        .await?;
    Ok(())
}
