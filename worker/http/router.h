#ifndef BATON_WORKER_HTTP_ROUTER_H_
#define BATON_WORKER_HTTP_ROUTER_H_

// Which handler a path and a method have.
//
//   /items            this path
//   /items/{id}       one segment, whatever it is, but not an empty one
//   /files/{path*}    all the rest, perhaps nothing
//
// A literal goes before a {name}, and that before a {tail*}, segment by
// segment. Patterns that are no such thing, or registered twice for a method,
// are bugs and CHECK.
//
// Paths are compared as they are sent, but that an escape stands for its byte:
// /a%62c is /abc, while a %2F is part of a segment and no slash. Nothing else
// is normalized: a path with "." or ".." segments matches no literal one.
//
// Filled before the fork, then only read.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/task.h"
#include "worker/http/http_head.h"
#include "worker/http/http_response.h"

namespace baton {

class HttpRequest;
class HttpCall;

// Returns at once; the request's body is here. It must not block: what does is
// for a coroutine and Offload.
using HttpFunction = HttpResponse (*)(const HttpRequest&);
// May take its time, and reads the body itself.
using HttpCoroutine = Task<HttpResponse> (*)(HttpCall);
// Sends its response in parts.
using HttpStreamer = Task<> (*)(HttpCall);
using HttpHandler = std::variant<HttpFunction, HttpCoroutine, HttpStreamer>;

struct HttpRouteOptions {
  // Instead of the listener's max_body.
  std::optional<uint64_t> max_body = std::nullopt;
  // A coroutine that takes longer is cancelled (kCancelled in whatever it
  // waits for), and 503 answered for it.
  absl::Duration timeout = absl::InfiniteDuration();
};

struct HttpRoute {
  HttpHandler handler;
  HttpRouteOptions options;
};

// The values of a pattern's names, as they were sent.
struct HttpPathParameters {
  static constexpr int kMax = 8;  // of a pattern
  struct One {
    absl::string_view name;
    absl::string_view value;
  };
  int count = 0;
  std::array<One, kMax> all;
};

class HttpRouter {
 public:
  HttpRouter();
  ~HttpRouter();
  HttpRouter(const HttpRouter&) = delete;
  HttpRouter& operator=(const HttpRouter&) = delete;

  void Add(HttpMethod method, absl::string_view pattern, HttpRoute route);
  bool empty() const { return root_ == nullptr; }

  struct Match {
    const HttpRoute* route = nullptr;
    // The path has routes, and these are their methods: for 405. Else null.
    const std::string* allow = nullptr;

    bool HasNothing() const { return route == nullptr && allow == nullptr; }
  };
  // HEAD has the route of GET if it has none of its own. `parameters` are
  // those of the route that is found.
  Match Find(HttpMethod method, absl::string_view path,
             HttpPathParameters* parameters) const;

 private:
  struct Leaf;
  struct Node;
  static const Leaf* Descend(const Node& node, absl::string_view rest,
                             HttpPathParameters* parameters);
  static Match In(const Leaf& leaf, HttpMethod method);

  std::unique_ptr<Node> root_;
  struct Literal {
    std::string path;
    const Leaf* leaf;
  };
  const Leaf* FindLiteral(absl::string_view path) const;

  // Patterns without names, found without a descent: by their length, the
  // longest ones in the last place. There are seldom many of one length.
  static constexpr size_t kLengths = 64;
  std::array<std::vector<Literal>, kLengths> literals_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_ROUTER_H_
