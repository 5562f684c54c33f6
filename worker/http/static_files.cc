#include "worker/http/static_files.h"

#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "net/unique_fd.h"
#include "worker/files/byte_ranges.h"
#include "worker/files/directory_listing.h"
#include "worker/files/directory_page.h"
#include "worker/files/error_page.h"
#include "worker/files/file_path.h"
#include "worker/offload.h"

namespace baton {
namespace {

using Served = std::shared_ptr<const ServedFile>;

bool IsGetOrHead(const HttpHead& head) {
  return head.method == HttpMethod::kGet || head.method == HttpMethod::kHead;
}

std::string ContentRange(const ByteRange& range, int64_t size) {
  return absl::StrCat("Content-Range: bytes ", range.offset, "-",
                      range.offset + range.size - 1, "/", size, "\r\n");
}

// Some bytes of it, from wherever they are.
void SetBody(const Served& file, FileBody::Part part, HttpResponse& response) {
  if (!file->in_memory()) {
    FileBody body = {.file = {file, &file->fd}, .parts = {}, .after = {}};
    body.parts.push_back(std::move(part));
    response.File(std::move(body));
  } else if (part.size == file->size()) {
    response.SharedBody({file, &file->content});
  } else {
    response.Body(file->content.substr(static_cast<size_t>(part.offset),
                                       static_cast<size_t>(part.size)));
  }
}

HttpResponse Whole(const Served& file) {
  HttpResponse response;
  response.KnownType(file->media_type)
      .KnownFields(file->validator_fields)
      .KnownFields(file->content_fields);
  SetBody(file, {.before = {}, .offset = 0, .size = file->size()}, response);
  return response;
}

HttpResponse OneRange(const Served& file, const ByteRange& range) {
  HttpResponse response(206);
  response.KnownType(file->media_type)
      .KnownFields(file->validator_fields)
      .KnownFields(file->content_fields)
      .KnownFields(ContentRange(range, file->size()));
  SetBody(file, {.before = {}, .offset = range.offset, .size = range.size},
          response);
  return response;
}

// RFC 9110 section 14.6. A boundary that nobody can foresee is in no file.
HttpResponse ManyRanges(const Served& file, const RangeSelection& selection) {
  absl::BitGen random;
  const std::string boundary = absl::StrCat(
      "baton-", absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16),
      absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
  FileBody body = {.file = {file, &file->fd}, .parts = {}, .after = {}};
  for (const ByteRange& range : selection.ranges) {
    body.parts.push_back({.before = absl::StrCat(
                              body.parts.empty() ? "" : "\r\n", "--", boundary,
                              "\r\nContent-Type: ", file->media_type, "\r\n",
                              ContentRange(range, file->size()), "\r\n"),
                          .offset = range.offset,
                          .size = range.size});
  }
  body.after = absl::StrCat("\r\n--", boundary, "--\r\n");
  HttpResponse response(206);
  response.ContentType(
      absl::StrCat("multipart/byteranges; boundary=", boundary));
  response.KnownFields(file->validator_fields)
      .KnownFields(file->content_fields);
  if (!file->in_memory()) return std::move(response.File(std::move(body)));
  std::string text;
  for (const FileBody::Part& part : body.parts) {
    text += part.before;
    text.append(file->content, static_cast<size_t>(part.offset),
                static_cast<size_t>(part.size));
  }
  text += body.after;
  return std::move(response.Body(std::move(text)));
}

HttpResponse NotModified(const Served& file) {
  HttpResponse response(304);
  response.KnownFields(file->validator_fields);
  return response;
}

absl::StatusOr<std::string> ListingPage(UniqueFd root,
                                        const std::string& path) {
  absl::StatusOr<DirectoryListing> listing = ListDirectory(root.get(), path);
  if (!listing.ok()) return listing.status();
  return DirectoryPage(path.empty() ? "/" : absl::StrCat("/", path, "/"),
                       *listing);
}

}  // namespace

const Served* StaticFiles::FindSimple(const HttpHead& head,
                                      const FileConditions& conditions) {
  if (conditions.any_but_coding || !IsGetOrHead(head)) return nullptr;
  const FileEntry* const file = site_->FindRemembered(head.path);
  return file != nullptr ? &file->Choose(conditions.accept_encoding) : nullptr;
}

std::optional<HttpResponse> StaticFiles::Answer(
    const HttpHead& head, const FileConditions& conditions, int64_t now) {
  if (!IsGetOrHead(head)) return AnswerToOther(head);
  const FileSite::Found found = site_->Find(head.path);
  switch (found.kind) {
    case FileSite::Found::Kind::kDirectory:
      return std::nullopt;
    case FileSite::Found::Kind::kRedirect: {
      const char* const mark = head.query.empty() ? "" : "?";
      HttpResponse response = HttpResponse::Redirect(
          absl::StrCat(found.path, mark, head.query), 301);
      response.KnownFields(site_->options().fields);
      return response;
    }
    case FileSite::Found::Kind::kNothing:
      return Error(found.status);
    case FileSite::Found::Kind::kFile:
      break;
  }
  const Served file = found.file->Choose(conditions.accept_encoding);
  const Validators validators = {.etag = file->etag,
                                 .modified = file->modified};
  switch (CheckPreconditions(conditions, validators, now)) {
    case Precondition::kNotModified:
      return NotModified(file);
    case Precondition::kFailed:
      return Error(412);
    case Precondition::kProceed:
      break;
  }
  // RFC 9110 section 14.2: Range has a meaning for GET only.
  if (conditions.range.has_value() && head.method == HttpMethod::kGet &&
      RangeApplies(conditions, validators, now)) {
    const RangeSelection selection =
        SelectRanges(*conditions.range, file->size());
    if (selection.kind == RangeSelection::Kind::kUnsatisfiable) {
      return Error(
          416, absl::StrCat("Content-Range: bytes */", file->size(), "\r\n"));
    }
    if (selection.kind == RangeSelection::Kind::kRanges) {
      return selection.ranges.size() == 1
                 ? OneRange(file, selection.ranges.front())
                 : ManyRanges(file, selection);
    }
  }
  return Whole(file);
}

Task<HttpResponse> StaticFiles::AnswerSlowly(const HttpHead* head,
                                             int64_t now) {
  std::optional<HttpResponse> response =
      Answer(*head, FileConditions::Collect(head->fields), now);
  if (response.has_value()) co_return *std::move(response);
  FileSite::Found found = site_->Find(head->path);
  UniqueFd root = site_->tree().CopyRootFd();
  if (found.kind != FileSite::Found::Kind::kDirectory || !root) {
    co_return Error(503);
  }
  absl::StatusOr<std::string> page =
      co_await Offload({.name = "list directory"}, ListingPage, std::move(root),
                       std::move(found.path));
  if (!page.ok()) {
    const HttpResponse failed(page.status());
    co_return Error(failed.status());
  }
  HttpResponse listing = HttpResponse::Html(*std::move(page));
  listing.KnownFields(site_->options().file_fields)
      .KnownFields(site_->options().fields);
  co_return listing;
}

HttpResponse StaticFiles::AnswerToOther(const HttpHead& head) {
  constexpr absl::string_view kAllow = "Allow: GET, HEAD, OPTIONS\r\n";
  if (head.method != HttpMethod::kOptions) return Error(405, kAllow);
  HttpResponse response(204);
  response.KnownFields(kAllow).KnownFields(site_->options().fields);
  return response;
}

HttpResponse StaticFiles::Error(int status, absl::string_view fields) {
  HttpResponse response;
  if (const FileEntry* const page = site_->FindErrorPage(status);
      page != nullptr) {
    const Served& file = page->Form(ContentCoding::kIdentity);
    response.KnownType(file->media_type);
    SetBody(file, {.before = {}, .offset = 0, .size = file->size()}, response);
  } else {
    response = HttpResponse::Html(ErrorPage(status, HttpReason(status)));
  }
  response.Status(status);
  if (status == 503) response.Header("Retry-After", "1");
  response.KnownFields(fields).KnownFields(site_->options().fields);
  return response;
}

}  // namespace baton
