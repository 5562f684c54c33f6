#ifndef BATON_TESTS_FILES_FIXTURE_H_
#define BATON_TESTS_FILES_FIXTURE_H_

// What tests of static files have in common: a server with a root that they
// fill, and clients that ask for its files.

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/handover_fixture.h"
#include "tests/http_answer.h"
#include "tests/test_client.h"

namespace baton {

// So many bytes of which no two stretches are alike.
std::string BytesOfFile(size_t size);
// In its place, whatever is there; makes the folders on the way.
void WriteInPlace(const std::string& path, absl::string_view content);
// Another file, renamed over it.
void ReplaceFile(const std::string& path, absl::string_view content);

class FilesFixture : public HandoverTest {
 public:
  explicit FilesFixture(std::string binary = "master/baton");
  ~FilesFixture() override;

 protected:
  // Holds the root, and what is outside.
  const std::string& folder() const { return folder_; }
  // Of a file below the root.
  std::string At(absl::string_view name) const;
  void Write(absl::string_view name, absl::string_view content) const {
    WriteInPlace(At(name), content);
  }

  // "--listen=..." of the root, with these options more.
  std::string Listen(absl::string_view options = "") const;
  // A server with one worker, unless `flags` say otherwise.
  void Serve(absl::string_view options = "", absl::string_view flags = "");

  // A connection of its own for each.
  HttpAnswer Get(absl::string_view path, absl::string_view fields = "",
                 absl::string_view method = "GET");
  HttpAnswer Head(absl::string_view path, absl::string_view fields = "") {
    return Get(path, fields, "HEAD");
  }

 private:
  const std::string folder_;
};

}  // namespace baton

#endif  // BATON_TESTS_FILES_FIXTURE_H_
