#include "worker/http/http_response.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(HttpResponseTest, Parts) {
  const HttpResponse response = HttpResponse::Json("{}")
                                    .Status(201)
                                    .Header("Location", "/7")
                                    .ContentType("text/x")
                                    .Header("Set-Cookie", "a")
                                    .Header("Set-Cookie", "b");
  EXPECT_EQ(response.status(), 201);
  EXPECT_EQ(response.body(), "{}");
  EXPECT_EQ(response.content_type(), "text/x");
  EXPECT_EQ(response.fields(),
            "Location: /7\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n");
  EXPECT_EQ(response.failure(), "");
}

TEST(HttpResponseTest, AStatusIsAResponse) {
  const HttpResponse missing = absl::NotFoundError("no item 7");
  EXPECT_EQ(missing.status(), 404);
  EXPECT_EQ(missing.body(), "no item 7\n");
  EXPECT_EQ(missing.failure(), "");
  const HttpResponse failed = absl::InternalError("table users is locked");
  EXPECT_EQ(failed.status(), 500);
  EXPECT_EQ(failed.body(), "Internal Server Error\n") << "no secrets";
  EXPECT_TRUE(absl::StrContains(failed.failure(), "table users"));
  const HttpResponse busy = absl::ResourceExhaustedError("full");
  EXPECT_EQ(busy.status(), 503);
  EXPECT_TRUE(absl::StrContains(busy.fields(), "Retry-After: 1\r\n"));
  EXPECT_EQ(HttpResponse(absl::OkStatus()).status(), 200);
}

TEST(HttpResponseTest, NobodyElseWritesTheHead) {
  for (absl::string_view value : {"a\r\nB: c", "a\nb", "a\rb", "\x7f"}) {
    HttpResponse response = HttpResponse::Text("secret");
    response.Header("X", value).Body("more").Header("Y", "z");
    EXPECT_EQ(response.status(), 500) << value;
    EXPECT_EQ(response.body(), "Internal Server Error\n");
    EXPECT_FALSE(absl::StrContains(response.fields(), "Y"));
    EXPECT_NE(response.failure(), "");
  }
  for (absl::string_view name :
       {"", "A B", "A:", "content-length", "Transfer-Encoding", "Date"}) {
    EXPECT_EQ(HttpResponse::Text("x").Header(name, "1").status(), 500) << name;
  }
  EXPECT_EQ(HttpResponse().ContentType("a\nb").status(), 500);
}

TEST(HttpResponseTest, OnlyFinalStatuses) {
  for (int status : {-7, 0, 100, 103, 199, 600}) {
    EXPECT_EQ(HttpResponse(status).status(), 500) << status;
    EXPECT_EQ(HttpResponse::Text("x").Status(status).status(), 500);
  }
  EXPECT_EQ(HttpResponse::Text("x").Header("A", "b\nc").Status(201).status(),
            500);
}

TEST(HttpResponseTest, ASharedBodyIsNotCopied) {
  const auto body = std::make_shared<const std::string>(1000, 'x');
  const HttpResponse response = HttpResponse().SharedBody(body);
  EXPECT_EQ(response.body().data(), body->data());
}

TEST(HttpResponseTest, Reasons) {
  EXPECT_EQ(HttpReason(100), "Continue");
  EXPECT_EQ(HttpReason(404), "Not Found");
  EXPECT_EQ(HttpReason(511), "Network Authentication Required");
  EXPECT_EQ(HttpReason(299), "Unknown");
  EXPECT_EQ(HttpReason(999), "Unknown");
}

}  // namespace
}  // namespace baton
