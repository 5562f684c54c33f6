#include "worker/http/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "net/percent.h"

namespace baton {

// What stands at the end of a pattern.
struct HttpRouter::Leaf {
  std::array<std::optional<HttpRoute>, kHttpMethods> routes;
  std::string allow;
  std::vector<std::string> names;

  bool used() const { return !allow.empty(); }
};

struct HttpRouter::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> any;
  Leaf here;
  Leaf tail;
};

HttpRouter::HttpRouter() = default;
HttpRouter::~HttpRouter() = default;

namespace {

// Cuts the next segment off `rest`, which begins with '/'.
absl::string_view NextSegment(absl::string_view& rest) {
  rest.remove_prefix(1);
  const absl::string_view segment = rest.substr(0, rest.find('/'));
  rest.remove_prefix(segment.size());
  return segment;
}

size_t IndexOf(HttpMethod method) { return static_cast<size_t>(method); }

}  // namespace

void HttpRouter::Add(HttpMethod method, absl::string_view pattern,
                     HttpRoute route) {
  CHECK(absl::StartsWith(pattern, "/"))
      << "a pattern begins with '/': " << pattern;
  CHECK(method != HttpMethod::kOther);
  if (root_ == nullptr) root_ = std::make_unique<Node>();
  Node* node = root_.get();
  Leaf* leaf = nullptr;
  std::vector<std::string> names;
  absl::string_view rest = pattern;
  while (!rest.empty()) {
    absl::string_view segment = NextSegment(rest);
    if (absl::ConsumePrefix(&segment, "{") &&
        absl::ConsumeSuffix(&segment, "}")) {
      const bool is_tail = absl::ConsumeSuffix(&segment, "*");
      CHECK(!segment.empty()) << "a name is missing in " << pattern;
      CHECK(!is_tail || rest.empty()) << "behind a tail: " << pattern;
      names.emplace_back(segment);
      CHECK_LE(names.size(), size_t{HttpPathParameters::kMax}) << pattern;
      if (is_tail) {
        leaf = &node->tail;
        break;
      }
      if (node->any == nullptr) node->any = std::make_unique<Node>();
      node = node->any.get();
      continue;
    }
    CHECK(segment.find_first_of("{}?#") == absl::string_view::npos)
        << "a name is a whole segment: " << pattern;
    auto& next = node->literals[std::string(segment)];
    if (next == nullptr) next = std::make_unique<Node>();
    node = next.get();
  }
  if (leaf == nullptr) leaf = &node->here;
  auto& place = leaf->routes[IndexOf(method)];
  CHECK(!place.has_value())
      << HttpMethodName(method) << " " << pattern << " is registered twice";
  place = std::move(route);
  CHECK(!leaf->used() || leaf->names == names)
      << "the names of " << pattern << " are others for another method";
  leaf->names = names;
  leaf->allow.clear();
  for (int i = 0; i < kHttpMethods; ++i) {
    const auto each = static_cast<HttpMethod>(i);
    if (In(*leaf, each).route == nullptr) continue;
    absl::StrAppend(&leaf->allow, leaf->allow.empty() ? "" : ", ",
                    HttpMethodName(each));
  }
  if (names.empty() && FindLiteral(pattern) == nullptr) {
    literals_[std::min(pattern.size(), kLengths - 1)].push_back(
        {std::string(pattern), leaf});
  }
}

const HttpRouter::Leaf* HttpRouter::FindLiteral(absl::string_view path) const {
  for (const Literal& literal :
       literals_[std::min(path.size(), kLengths - 1)]) {
    if (literal.path == path) return literal.leaf;
  }
  return nullptr;
}

HttpRouter::Match HttpRouter::In(const Leaf& leaf, HttpMethod method) {
  const auto* route = &leaf.routes[IndexOf(method)];
  if (!route->has_value() && method == HttpMethod::kHead) {
    route = &leaf.routes[IndexOf(HttpMethod::kGet)];
  }
  return {route->has_value() ? &**route : nullptr, &leaf.allow};
}

HttpRouter::Match HttpRouter::Find(HttpMethod method, absl::string_view path,
                                   HttpPathParameters* parameters) const {
  parameters->count = 0;
  if (const Leaf* const leaf = FindLiteral(path)) return In(*leaf, method);
  if (root_ == nullptr || !absl::StartsWith(path, "/")) return {};
  const Leaf* const leaf = Descend(*root_, path, parameters);
  if (leaf == nullptr) return {};
  for (int i = 0; i < parameters->count; ++i) {
    parameters->all[i].name = leaf->names[i];
  }
  return In(*leaf, method);
}

const HttpRouter::Leaf* HttpRouter::Descend(const Node& node,
                                            absl::string_view rest,
                                            HttpPathParameters* parameters) {
  if (rest.empty()) return node.here.used() ? &node.here : nullptr;
  const int count = parameters->count;
  const absl::string_view all = rest.substr(1);
  const absl::string_view segment = NextSegment(rest);
  auto next = node.literals.find(segment);
  if (next == node.literals.end() &&
      segment.find('%') != absl::string_view::npos) {
    const absl::StatusOr<std::string> decoded = PercentDecode(segment);
    if (decoded.ok()) next = node.literals.find(*decoded);
  }
  if (next != node.literals.end()) {
    if (const Leaf* leaf = Descend(*next->second, rest, parameters)) {
      return leaf;
    }
    parameters->count = count;
  }
  if (node.any != nullptr && !segment.empty()) {
    parameters->all[parameters->count++].value = segment;
    if (const Leaf* leaf = Descend(*node.any, rest, parameters)) return leaf;
    parameters->count = count;
  }
  if (!node.tail.used()) return nullptr;
  parameters->all[parameters->count++].value = all;
  return &node.tail;
}

}  // namespace baton
