#include "worker/http/router.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "worker/http/http_request.h"

namespace baton {
namespace {

class HttpRouterTest : public ::testing::Test {
 protected:
  // A pattern is known again by its max_body.
  void Add(absl::string_view pattern, uint64_t number,
           HttpMethod method = HttpMethod::kGet) {
    const HttpFunction handler = [](const HttpRequest&) {
      return HttpResponse();
    };
    router_.Add(method, pattern, {handler, {.max_body = number}});
  }
  // "number name=value ...", or the methods there are, or "none".
  std::string Find(absl::string_view path,
                   HttpMethod method = HttpMethod::kGet) {
    HttpPathParameters parameters;
    const HttpRouter::Match match = router_.Find(method, path, &parameters);
    if (match.route == nullptr) {
      return match.allow == nullptr ? "none" : *match.allow;
    }
    std::string found = absl::StrCat(*match.route->options.max_body);
    for (int i = 0; i < parameters.count; ++i) {
      absl::StrAppend(&found, " ", parameters.all[i].name, "=",
                      parameters.all[i].value);
    }
    return found;
  }

  HttpRouter router_;
};

TEST_F(HttpRouterTest, LiteralNamesAndTails) {
  Add("/", 1);
  Add("/items", 2);
  Add("/items/{id}", 3);
  Add("/items/{id}/parts/{part}", 4);
  Add("/files/{path*}", 5);
  EXPECT_EQ(Find("/"), "1");
  EXPECT_EQ(Find("/items"), "2");
  EXPECT_EQ(Find("/items/"), "none") << "no empty names";
  EXPECT_EQ(Find("/items/7"), "3 id=7");
  EXPECT_EQ(Find("/items/7/parts/x%20y"), "4 id=7 part=x%20y");
  EXPECT_EQ(Find("/items/7/parts"), "none");
  EXPECT_EQ(Find("/files/"), "5 path=");
  EXPECT_EQ(Find("/files/a/b/"), "5 path=a/b/");
  EXPECT_EQ(Find("/files"), "none");
  EXPECT_EQ(Find("//items"), "none");
  EXPECT_EQ(Find("*"), "none");
  EXPECT_EQ(Find("/ITEMS"), "none");
}

TEST_F(HttpRouterTest, TheMoreExactGoesFirstAndFallsBack) {
  Add("/a/{x}/c", 1);
  Add("/a/b/d", 2);
  Add("/a/{rest*}", 3);
  EXPECT_EQ(Find("/a/b/d"), "2");
  EXPECT_EQ(Find("/a/b/c"), "1 x=b");
  EXPECT_EQ(Find("/a/b/e"), "3 rest=b/e");
  EXPECT_EQ(Find("/a/q"), "3 rest=q");
}

TEST_F(HttpRouterTest, AnEscapeStandsForItsByteButIsNoSlash) {
  Add("/a b/c", 1);
  Add("/d/{x}", 2);
  EXPECT_EQ(Find("/a%20b/%63"), "1");
  EXPECT_EQ(Find("/d%2Fx"), "none");
  EXPECT_EQ(Find("/d/x%2Fy"), "2 x=x%2Fy");
  EXPECT_EQ(Find("/%zz"), "none");
}

TEST_F(HttpRouterTest, Methods) {
  Add("/x", 1);
  Add("/x", 2, HttpMethod::kPost);
  Add("/y/{z}", 3, HttpMethod::kDelete);
  EXPECT_EQ(Find("/x", HttpMethod::kHead), "1");
  EXPECT_EQ(Find("/x", HttpMethod::kPost), "2");
  EXPECT_EQ(Find("/x", HttpMethod::kPut), "GET, HEAD, POST");
  EXPECT_EQ(Find("/x", HttpMethod::kOther), "GET, HEAD, POST");
  EXPECT_EQ(Find("/y/1", HttpMethod::kHead), "DELETE");
  Add("/x", 4, HttpMethod::kHead);
  EXPECT_EQ(Find("/x", HttpMethod::kHead), "4");
  EXPECT_EQ(Find("/x", HttpMethod::kPut), "GET, HEAD, POST");
}

using HttpRouterDeathTest = HttpRouterTest;

TEST_F(HttpRouterDeathTest, BadPatternsAreBugs) {
  Add("/x", 1);
  EXPECT_DEATH(Add("/x", 2), "registered twice");
  EXPECT_DEATH(Add("x", 2), "begins with");
  EXPECT_DEATH(Add("/a{b}", 2), "whole segment");
  EXPECT_DEATH(Add("/{}", 2), "a name is missing");
  EXPECT_DEATH(Add("/{a*}/b", 2), "behind a tail");
  Add("/{a}", 1);
  EXPECT_DEATH(Add("/{b}", 2, HttpMethod::kPost), "others for another method");
}

}  // namespace
}  // namespace baton
