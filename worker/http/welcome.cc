#include "worker/http/welcome.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "net/listen_url.h"

namespace baton {
namespace {

// No scripts, fonts or pictures from elsewhere: it is seen on machines that
// reach nobody.
constexpr absl::string_view kPage = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>baton is running</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #888; --mark: #2a7d5f; }
@media (prefers-color-scheme: dark) { :root { --mark: #5fc39d; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 44rem; margin: 12vh auto 4rem;
  padding: 0 1.5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .25rem; }
h1::before { content: ""; display: inline-block; width: .55em; height: .55em; margin-right: .45em;
  border-radius: 50%; background: var(--mark); vertical-align: .08em; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; margin: 1.6rem 0 0;
  padding: 1rem 0; border-block: 1px solid var(--line); }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .9rem 1rem; border: 1px solid var(--line);
  border-radius: .5rem; font-size: .85rem; }
</style>
</head>
<body>
<h1>baton is running</h1>
<p>This HTTP listener has no files and no routes yet, so it shows this page.</p>
<dl>
<dt>listener</dt><dd>$LISTENER</dd>
<dt>answered by</dt><dd>worker process $PID</dd>
</dl>
<h2>Next: a folder of files</h2>
<pre>--listen='http://0.0.0.0:8080?root=public&amp;autoindex=1'</pre>
<h2>Or a route of your own</h2>
<pre>#include "baton.h"

baton::HttpResponse Hello(const baton::HttpRequest&amp; request) {
  return baton::HttpResponse::Text("Hello, " + request.Param("name") + "\n");
}

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services&amp; services) {
    services.Http("www").Get("/hello/{name}", Hello);
  });
}</pre>
<h2>While it runs</h2>
<p>SIGHUP reads the configuration again and replaces the workers one by one, SIGTTIN and
SIGTTOU make one more or one fewer, SIGTERM ends it in good order. <code>--help</code> lists
every flag.</p>
</body>
</html>
)";

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

}  // namespace

HttpResponse Welcome(const HttpRequest& request) {
  const ListenUrl* const url = request.connection().listener();
  return HttpResponse::Html(absl::StrReplaceAll(
      kPage, {{"$LISTENER", EscapeHtml(url == nullptr ? "" : url->text)},
              {"$PID", absl::StrCat(getpid())}}));
}

}  // namespace baton
