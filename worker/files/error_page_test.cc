#include "worker/files/error_page.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"

namespace baton {
namespace {

TEST(ErrorPageTest, StatusReasonAndASentence) {
  const std::string page = ErrorPage(404, "Not Found");
  EXPECT_TRUE(absl::StrContains(page, "<title>404 Not Found</title>"));
  EXPECT_TRUE(absl::StrContains(page, "<h1><b>404</b>Not Found</h1>"));
  EXPECT_TRUE(absl::StrContains(page, "<p>There is nothing at this address."));
  EXPECT_TRUE(absl::EndsWith(page, "</html>\n"));
}

TEST(ErrorPageTest, AnyStatus) {
  const std::string page = ErrorPage(599, "<odd>");
  EXPECT_TRUE(absl::StrContains(page, "<h1><b>599</b>&lt;odd&gt;</h1>"));
  EXPECT_FALSE(absl::StrContains(page, "<p>"));
}

}  // namespace
}  // namespace baton
