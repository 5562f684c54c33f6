#ifndef BATON_WORKER_HTTP_PARAMETERS_H_
#define BATON_WORKER_HTTP_PARAMETERS_H_

// Problem: queries and forms come from everybody and in every shape; where
// decoders differ over `%zz` or a second `a=`, two programs see two requests.
//
// HttpParameters is decoded application/x-www-form-urlencoded text, by the
// rules that browsers follow (WHATWG URL, section 5.1).
//
// Contract
// * Never fails. '+' is a space, %XX a byte; a '%' without two hex digits
//   stands for itself. Empty parts between '&' are skipped; a part without '='
//   is a name with an empty value; further '=' belong to the value.
// * Values are bytes: NUL is possible, and nobody has checked them for UTF-8
//   (a browser would replace what is none).
// * At most kMaxHttpParameters; what follows them is dropped, and truncated()
//   says so.

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace baton {

// So many that no form has them, and so few that walking them all is nothing.
inline constexpr size_t kMaxHttpParameters = 1000;

class HttpParameters {
 public:
  using Pairs = std::vector<std::pair<std::string, std::string>>;

  HttpParameters() = default;

  // `text` is a body, or a query without its '?'.
  static HttpParameters Parse(absl::string_view text);

  // The value of the first parameter of that name; borrowed from this object.
  std::optional<absl::string_view> Get(absl::string_view name) const;

  // All of them, in order; borrowed from this object.
  std::vector<absl::string_view> GetAll(absl::string_view name) const;

  size_t size() const { return pairs_.size(); }
  bool empty() const { return pairs_.empty(); }
  bool truncated() const { return truncated_; }

  // Names and values, in order.
  Pairs::const_iterator begin() const { return pairs_.begin(); }
  Pairs::const_iterator end() const { return pairs_.end(); }

 private:
  Pairs pairs_;
  bool truncated_ = false;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_PARAMETERS_H_
