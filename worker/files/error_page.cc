#include "worker/files/error_page.h"

#include "absl/strings/str_cat.h"
#include "worker/files/page_parts.h"

namespace baton {
namespace {

constexpr absl::string_view kStyle =
    R"(body { max-width: 34rem; padding-top: 18vh; padding-bottom: 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; font-weight: 600; margin: 0; }
h1 b { display: block; font-size: 4.5rem; line-height: 1; font-weight: 700; color: var(--mark);
  letter-spacing: -.03em; margin-bottom: .5rem; }
p { color: var(--soft); margin: .75rem 0 0; }
)";

absl::string_view Explanation(int status) {
  switch (status) {
    case 400:
      return "The request could not be understood.";
    case 403:
      return "What is here is not for everybody to see.";
    case 404:
      return "There is nothing at this address. It may have moved, or the "
             "address may have a typing error.";
    case 405:
      return "This can be read, and nothing else.";
    case 412:
      return "What is here has changed since it was last looked at.";
    case 414:
      return "The address is too long.";
    case 416:
      return "The file does not have the part that was asked for.";
    case 500:
      return "Something went wrong on this side. The error has been noted.";
    case 503:
      return "There is too much to do at the moment. Please try again soon.";
    default:
      return "";
  }
}

}  // namespace

std::string ErrorPage(int status, absl::string_view reason) {
  const absl::string_view explanation = Explanation(status);
  std::string page = PageHead(absl::StrCat(status, " ", reason), kStyle);
  absl::StrAppend(&page, "<body>\n<main>\n<h1><b>", status, "</b>",
                  HtmlText(reason), "</h1>\n");
  if (!explanation.empty()) {
    absl::StrAppend(&page, "<p>", explanation, "</p>\n");
  }
  absl::StrAppend(&page, "</main>\n</body>\n</html>\n");
  return page;
}

}  // namespace baton
