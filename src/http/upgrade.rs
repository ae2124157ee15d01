//! The service of a connection: the application, and the upgrade to sockets.
//!
//! actix gives a request for an upgrade to a service of its own, with the connection. That service first calls the
//! application, so all middleware and the handler decide as for any request. If the response has the status 101, the
//! connection becomes a socket. Calls over the socket are given to the same application.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix_codec::{Encoder, Framed, FramedParts};
use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::DispatchError;
use actix_http::{ConnectionType, HttpMessage, HttpService, Request, Response, h1};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service,
    map_config,
};
use actix_web::body::to_bytes;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::header::{
    ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, FORWARDED, HeaderMap,
    HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT, X_FORWARDED_FOR,
};
use actix_web::http::{Method, Uri, Version};
use actix_web::{App, web};
use bytes::{Bytes, BytesMut};
use futures_util::future::{LocalBoxFuture, ready};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::api::problem::Problem;
use crate::http::Api;
use crate::http::handlers::live::Accepted;
use crate::http::middleware::request_context::{REQUEST_ID, RequestContext};
use crate::http::thread_state::ThreadState;
use crate::live::{self, Answer, Call, Calls, Client, Worker};

const BASE_PATH: &str = "/api/v1";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The headers of the upgrade that calls have as well.
const KEPT_HEADERS: [HeaderName; 4] = [ACCEPT_LANGUAGE, FORWARDED, USER_AGENT, X_FORWARDED_FOR];
/// Bytes that the kernel stores for a client that does not read. Otherwise it stores several megabytes.
const SEND_BUFFER_BYTES: usize = 32 * 1024;
/// Time-out for writing the response to an upgrade.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Time-out for receiving the head of a request, and for the client's end of a connection.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
const DISCONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The settings of the service.
pub struct Serving<S> {
    pub api: Api,
    /// Registers the routes.
    pub routes: fn(&mut web::ServiceConfig),
    pub keep_alive: Duration,
    pub address: SocketAddr,
    /// Returns when the server stops.
    pub stops: S,
}

/// The service of the connections of one worker thread. Call it on that thread.
pub fn service<S, F>(
    serving: Serving<S>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    S: Fn() -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let Serving { api, routes, keep_alive, address, stops } = serving;
    let worker = Worker::start(&api.live);
    let shared: Rc<OnceCell<Rc<dyn Application>>> = Rc::default();
    let app = App::new()
        .app_data(web::Data::new(api))
        .app_data(ThreadState::default())
        .wrap(RequestContext)
        .configure(routes);
    let app = Rc::new(map_config(app.into_factory(), |()| AppConfig::default()));
    let application = {
        let shared = Rc::clone(&shared);
        fn_factory(move || {
            let (app, shared) = (Rc::clone(&app), Rc::clone(&shared));
            async move {
                let service = Rc::new(app.new_service(()).await?);
                let application: Rc<dyn Application> = service.clone();
                let _ = shared.set(application);
                Ok::<_, ()>(service)
            }
        })
    };
    let upgrade =
        fn_service(move |(request, connection): (Request, Framed<TcpStream, h1::Codec>)| {
            let (shared, worker) = (Rc::clone(&shared), Rc::clone(&worker));
            async move {
                if let Some(application) = shared.get() {
                    upgrade(Rc::clone(application), worker, request, connection).await;
                }
                Ok::<_, actix_web::Error>(())
            }
        });
    HttpService::build()
        .graceful_shutdown_signal(stops)
        .keep_alive(keep_alive)
        .client_request_timeout(HEAD_LIMIT)
        .client_disconnect_timeout(DISCONNECT_LIMIT)
        // A client that closes its connection ends its request. Otherwise a poll would wait for nobody.
        .h1_allow_half_closed(false)
        .local_addr(address)
        .upgrade(upgrade)
        .finish(application.map_err(|error: actix_web::Error| error.error_response()))
        .tcp()
}

/// The application of a worker thread.
trait Application {
    fn answer(
        &self,
        request: Request,
    ) -> LocalBoxFuture<'static, Result<ServiceResponse, actix_web::Error>>;
}

impl<S> Application for S
where
    S: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
    S::Future: 'static,
{
    fn answer(
        &self,
        request: Request,
    ) -> LocalBoxFuture<'static, Result<ServiceResponse, actix_web::Error>> {
        Box::pin(self.call(request))
    }
}

/// Asks the application whether a connection may become a socket, and sends its response.
async fn upgrade(
    application: Rc<dyn Application>,
    worker: Rc<Worker>,
    request: Request,
    connection: Framed<TcpStream, h1::Codec>,
) {
    let FramedParts { mut io, mut codec, read_buf, .. } = connection.into_parts();
    let peer = request.peer_addr();
    let headers = kept_headers(request.headers());
    let mut response = match application.answer(request).await {
        Ok(response) => response.into_parts().1,
        Err(error) => error.error_response(),
    };
    let accepted = response.extensions_mut().remove::<Accepted>();
    let response: Response<BoxBody> = response.into();
    let written = if accepted.is_some() {
        encode(&mut codec, response.drop_body(), None)
    } else {
        let mut taken = BoxBody::new(());
        let mut response = response.map_body(|_, body| taken = body);
        let body = to_bytes(taken).await.unwrap_or_default();
        response.head_mut().set_connection_type(ConnectionType::Close);
        encode(&mut codec, response, Some(body))
    };
    let Ok(bytes) = written else { return };
    if !matches!(timeout(WRITE_LIMIT, io.write_all(&bytes)).await, Ok(Ok(()))) {
        return;
    }
    let Some(Accepted { codec, place, language }) = accepted else {
        let _ = timeout(WRITE_LIMIT, io.shutdown()).await;
        return;
    };
    let socket = SockRef::from(&io);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    let calls = Rc::new(ClientCalls { application, peer, headers });
    let client = Client { codec, language, calls, place };
    // The task outlives the request, whose buffers are freed.
    tokio::task::spawn_local(live::serve(worker, client, io, Bytes::copy_from_slice(&read_buf)));
}

/// The bytes of a response.
fn encode(
    codec: &mut h1::Codec,
    response: Response<()>,
    body: Option<Bytes>,
) -> Result<BytesMut, std::io::Error> {
    let mut bytes = BytesMut::new();
    let size = body.as_ref().map_or(BodySize::None, |body| BodySize::Sized(body.len() as u64));
    codec.encode(h1::Message::Item((response, size)), &mut bytes)?;
    if let Some(body) = body.filter(|body| !body.is_empty()) {
        codec.encode(h1::Message::Chunk(Some(body)), &mut bytes)?;
        codec.encode(h1::Message::Chunk(None), &mut bytes)?;
    }
    Ok(bytes)
}

fn kept_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let kept = |name: HeaderName| {
        headers.get_all(&name).cloned().map(|value| (name.clone(), value)).collect::<Vec<_>>()
    };
    KEPT_HEADERS.into_iter().flat_map(kept).collect()
}

/// Gives the calls of a client to the application.
struct ClientCalls {
    application: Rc<dyn Application>,
    peer: Option<SocketAddr>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Calls for ClientCalls {
    fn call(&self, token: &str, call: Call) -> LocalBoxFuture<'static, Answer> {
        match self.request(token, &call) {
            Ok(request) => {
                let answer = self.application.answer(request);
                Box::pin(async move {
                    match answer.await {
                        Ok(response) => read_answer(response).await,
                        Err(error) => Answer::from(&Problem::internal(error)),
                    }
                })
            }
            Err(problem) => Box::pin(ready(Answer::from(&problem))),
        }
    }
}

impl ClientCalls {
    /// The request that a client would send over HTTP.
    fn request(&self, token: &str, call: &Call) -> Result<Request, Problem> {
        let method = Method::from_bytes(call.method.as_bytes());
        let method = method.map_err(|_| Problem::malformed("method", "must be a method"))?;
        let uri = Uri::try_from(format!("{BASE_PATH}{}", call.path));
        let uri = uri.map_err(|_| Problem::malformed("path", "must be a path"))?;
        let body = if call.body.is_null() { Bytes::new() } else { call.body.to_string().into() };
        let (_, mut payload) = h1::Payload::create(true);
        let length = body.len();
        payload.unread_data(body);
        let mut request = Request::with_payload(payload.into());
        let head = request.head_mut();
        (head.method, head.uri, head.version) = (method, uri, Version::HTTP_11);
        head.peer_addr = self.peer;
        for (name, value) in &self.headers {
            head.headers.append(name.clone(), value.clone());
        }
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| Problem::malformed("token", "must be a token"))?;
        head.headers.insert(AUTHORIZATION, bearer);
        if length > 0 {
            head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(key) = &call.idempotency_key {
            let key = HeaderValue::try_from(key.as_str());
            let wrong = "must be 1 to 255 visible ASCII characters";
            let key = key.map_err(|_| Problem::malformed("idempotency_key", wrong))?;
            head.headers.insert(IDEMPOTENCY_KEY, key);
        }
        Ok(request)
    }
}

async fn read_answer(response: ServiceResponse) -> Answer {
    let text = |name: &HeaderName| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let answer = Answer {
        status: response.status().as_u16(),
        request_id: text(&REQUEST_ID),
        replayed: response.headers().contains_key(&REPLAYED),
        etag: text(&ETAG),
        retry_after_seconds: text(&RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
        body: Bytes::new(),
    };
    let body = response.into_body();
    if body.size() == BodySize::None {
        return answer;
    }
    Answer { body: to_bytes(body).await.unwrap_or_default(), ..answer }
}
