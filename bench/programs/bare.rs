//! A bare server for comparison: actix-web with the settings of the real server and one handler, which answers a fixed
//! JSON body.
//!
//! `cargo run --release --example bare -- 8090 500` listens on port 8090 and answers 500 bytes.

use actix_web::{App, HttpResponse, HttpServer, web};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: usize| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (port, size) = (number(8090), number(500));
    let body = format!("{{\"bare\":\"{}\"}}", "x".repeat(size.saturating_sub(11)));
    let workers = std::thread::available_parallelism()?.get();
    HttpServer::new(move || {
        let body = body.clone();
        App::new().route(
            "/",
            web::get().to(move || {
                let body = body.clone();
                async move { HttpResponse::Ok().content_type("application/json").body(body) }
            }),
        )
    })
    .workers(workers)
    .bind(("127.0.0.1", u16::try_from(port).unwrap_or(8090)))?
    .run()
    .await
}
