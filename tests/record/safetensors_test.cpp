#include "host/record/safetensors.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

#include "host/record/file.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using Bytes = std::vector<std::byte>;
using test::message_of;

TensorFile sample() {
  const float weights[] = {1.5F, -2, 0.1F, 1e-40F, 3, 4};
  const std::uint8_t mask[] = {1, 0, 1};
  const std::int64_t batches[] = {-5};
  const double big[] = {1e300, 0.1};
  TensorFile file;
  file.metadata = {{"net", "net_a"}, {"norm", "gn:4 \"quoted\""}};
  file.tensors.push_back(NamedTensor::of("c1.mask", {3}, mask));
  file.tensors.push_back(NamedTensor::of("c1.conv.weight", {2, 3}, weights));
  file.tensors.push_back(NamedTensor::of("c1.norm.num_batches_tracked", {}, batches));
  file.tensors.push_back(NamedTensor::of("optimizer.sums", {2, 1}, big));
  file.tensors.push_back({"half", TensorType::bf16, {2}, Bytes(4, std::byte{0x3F})});
  file.tensors.push_back({"empty", TensorType::f32, {0, 7}, {}});
  return file;
}

/// The file with this header and `data` zeros.
Bytes file_with(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  Bytes bytes(sizeof length + header.size() + data);
  std::memcpy(bytes.data(), &length, sizeof length);
  if (!header.empty()) std::memcpy(bytes.data() + sizeof length, header.data(), header.size());
  return bytes;
}

TEST(Safetensors, RoundTrip) {
  const test::TemporaryDirectory directory;
  const auto path = directory / "final.safetensors";
  write_safetensors(path, sample());
  const TensorFile read = read_safetensors(path);
  EXPECT_EQ(read.metadata, sample().metadata);
  EXPECT_EQ(read.tensors, sample().tensors);
  ASSERT_NE(read.find("c1.conv.weight"), nullptr);
  EXPECT_EQ(read.find("c1.conv.weight")->floats()[2], 0.1F);
  EXPECT_EQ(read.find("optimizer.sums")->doubles()[0], 1e300);
  EXPECT_EQ(read.find("c1.norm.num_batches_tracked")->integers(), std::vector<std::int64_t>{-5});
  EXPECT_EQ(read.find("none"), nullptr);
  EXPECT_EQ(*read.metadata_of("net"), "net_a");
  EXPECT_HAS(message_of([&] { (void)read.find("c1.mask")->floats(); }), "'c1.mask' holds U8, not F32");
  EXPECT_HAS(message_of([&] { (void)read.find("c1.mask")->doubles(); }), "'c1.mask' holds U8, not F64");
  EXPECT_HAS(message_of([&] { (void)read.find("half")->integers(); }), "'half' holds BF16, not I64");
  EXPECT_TRUE(read.find("empty")->floats().empty());
  EXPECT_EQ(read.metadata_of("none"), nullptr);
  // Only the file itself is left behind.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(Safetensors, BytesDependOnTheArgumentsAlone) {
  const test::TemporaryDirectory directory;
  write_safetensors(directory / "a", sample());
  write_safetensors(directory / "b", sample());
  write_safetensors(directory / "b", sample());  // replaces
  EXPECT_EQ(test::read_bytes(directory / "a"), encode_safetensors(sample()));
  EXPECT_EQ(test::read_bytes(directory / "b"), encode_safetensors(sample()));
}

/// What other readers rely on: the header is padded to 8 bytes, and each tensor is aligned to its elements.
TEST(Safetensors, DataAreAligned) {
  const Bytes bytes = encode_safetensors(sample());
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length % 8, 0U);
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  const auto header = nlohmann::json::parse(text, text + length);
  EXPECT_EQ(header["__metadata__"]["crc32c.c1.conv.weight"].get<std::string>().size(), 8U);
  for (const NamedTensor& tensor : sample().tensors) {
    const auto begin = header[tensor.name]["data_offsets"][0].get<std::uint64_t>();
    EXPECT_EQ(begin % size_of(tensor.type), 0U) << tensor.name;
    EXPECT_EQ(header[tensor.name]["dtype"], name_of(tensor.type));
  }
}

TEST(Safetensors, EveryCutIsRefused) {
  const Bytes bytes = encode_safetensors(sample());
  for (std::size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_ANY_THROW((void)decode_safetensors(std::span(bytes).first(cut), "cut")) << cut;
}

TEST(Safetensors, EveryFlippedBitIsFound) {
  Bytes bytes = encode_safetensors(sample());
  EXPECT_TRUE(decode_safetensors(bytes, "whole").sealed);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  // Where the header says that it has a checksum, a bit can make it say that it has none.
  const std::size_t seal = 8 + std::string(R"({"__metadata__":{"crc32c":")").size();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      SCOPED_TRACE(fmt::format("byte {}, bit {}", at, bit));
      bytes[at] ^= static_cast<std::byte>(1 << bit);
      if (at >= 8 + length || (at >= seal && at < seal + 8)) {
        EXPECT_HAS(message_of([&] { (void)decode_safetensors(bytes, "flipped"); }), "its checksum is wrong");
      } else {
        try {
          EXPECT_FALSE(decode_safetensors(bytes, "flipped").sealed);
          EXPECT_TRUE(at >= 8 && at < seal);
        } catch (const std::runtime_error&) {
        }
      }
      bytes[at] ^= static_cast<std::byte>(1 << bit);
    }
  }
}

TEST(Safetensors, HostileHeadersAreRefused) {
  const auto refusal = [](const std::string& header, std::size_t data) {
    return message_of([&] { (void)decode_safetensors(file_with(header, data), "file"); });
  };
  const auto tensor = [](const std::string& shape, const std::string& offsets) {
    return R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  (void)decode_safetensors(file_with(tensor("[2]", "[0,8]"), 8), "good");
  EXPECT_HAS(refusal("", 0), "no JSON object");
  EXPECT_HAS(refusal("[]", 0), "no JSON object");
  EXPECT_HAS(refusal(std::string(100'000, '['), 0), "no JSON object");
  EXPECT_HAS(refusal(R"({"a":3})", 0), "'a' is broken");
  EXPECT_HAS(refusal(R"({"__metadata__":{"a":3}})", 0), "'a' is no string");
  EXPECT_HAS(refusal(R"({"__metadata__":{"crc32c.a":"xyz"}})", 0), "is no checksum");
  EXPECT_HAS(refusal(R"({"__metadata__":{"crc32c.a":"00000000"}})", 0), "'a' is missing");
  EXPECT_HAS(refusal(R"({"a":{"dtype":"F8","shape":[],"data_offsets":[0,1]}})", 1), "type 'F8'");
  EXPECT_HAS(refusal(R"({"__metadata__":[]})", 0), "its metadata is no JSON object");
  EXPECT_HAS(refusal(R"({"__metadata__":{"crc32c.a":"0000000g"}})", 0), "is no checksum");
  for (const char* broken :
       {R"({"shape":[2],"data_offsets":[0,8]})", R"({"dtype":4,"shape":[2],"data_offsets":[0,8]})",
        R"({"dtype":"F32","data_offsets":[0,8]})", R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[2]})", R"({"dtype":"F32","shape":[2],"data_offsets":8})",
        R"({"dtype":"F32","shape":[2],"data_offsets":[8]})",
        R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]})"})
    EXPECT_HAS(refusal(std::string(R"({"a":)") + broken + "}", 8), "'a' is broken") << broken;
  EXPECT_HAS(refusal(tensor("[2]", "[-1,8]"), 8), "has no offsets");
  EXPECT_HAS(refusal(tensor("[2]", R"([0,"8"])"), 8), "has no offsets");
  EXPECT_HAS(refusal(tensor("[3]", "[0,8]"), 8), "does not fit its shape");
  EXPECT_HAS(refusal(tensor("[-2]", "[0,8]"), 8), "impossible shape");
  EXPECT_HAS(refusal(tensor("[1.5]", "[0,8]"), 8), "impossible shape");
  EXPECT_HAS(refusal(tensor("[18446744073709551615]", "[0,8]"), 8), "impossible shape");
  EXPECT_HAS(refusal(tensor("[4611686018427387904,4]", "[0,0]"), 0), "does not fit its shape");
  EXPECT_HAS(refusal(tensor("[2]", "[8,0]"), 8), "does not fit its shape");
  EXPECT_HAS(refusal(tensor("[2]", "[8,16]"), 16), "gap");
  EXPECT_HAS(refusal(tensor("[2]", "[0,8]"), 9), "the file has 9");
  EXPECT_HAS(refusal(tensor("[1000000000000]", "[0,4000000000000]"), 8), "the file has 8");
  EXPECT_HAS(refusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                     R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                     3),
             "overlaps");
  std::string many = R"({"a0":1)";
  for (int i = 1; i < 80'000; ++i) many += fmt::format(R"(,"a{}":1)", i);
  EXPECT_HAS(refusal(many + "}", 0), "too many names");
  Bytes huge(16, std::byte{0xFF});
  EXPECT_HAS(message_of([&] { (void)decode_safetensors(huge, "file"); }), "is not a safetensors file");
}

/// As the format's description has it; the safetensors library refuses most of these, too.
TEST(Safetensors, AHeaderIsOneObjectWithEachNameOnce) {
  const std::string tensor = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const std::string good = R"({"__metadata__":{"x":"1"},)" + tensor + "}";
  const auto refusal = [](const std::string& header) {
    return message_of([&] { (void)decode_safetensors(file_with(header, 8), "file"); });
  };
  (void)decode_safetensors(file_with(good + "     ", 8), "good");
  for (const char* before : {"\xEF\xBB\xBF", " ", "\n"}) {
    EXPECT_HAS(refusal(before + good), "does not begin with {") << '"' << before << '"';
  }
  EXPECT_HAS(refusal(good + std::string(7, '\0')), "holds a NUL");
  EXPECT_HAS(refusal(good + std::string(2, '\0') + "}"), "holds a NUL");
  for (const char* after : {"\n", "\t ", " x", ","}) {
    EXPECT_HAS(refusal(good + after), "not only spaces") << '"' << after << '"';
  }
  EXPECT_HAS(refusal(good + "{}"), "no JSON object");
  const std::string metadata = R"("__metadata__":{"x":"1"},)";
  EXPECT_HAS(refusal("{" + metadata + metadata + tensor + "}"), "'__metadata__' stands twice");
  EXPECT_HAS(refusal("{" + metadata + tensor + "," + tensor + "}"), "'a' stands twice");
  EXPECT_HAS(refusal(R"({"__metadata__":{"x":"1","x":"2"},)" + tensor + "}"), "'x' stands twice");
  EXPECT_HAS(refusal(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
             "'dtype' stands twice");
}

TEST(Safetensors, ImpossibleTensorsAreNotWritten) {
  TensorFile twice = sample();
  twice.tensors.push_back(twice.tensors[0]);
  EXPECT_HAS(message_of([&] { (void)encode_safetensors(twice); }), "called 'c1.mask'");
  TensorFile many;
  for (int i = 0; i < 20'000; ++i)
    many.tensors.push_back({fmt::format("tensor {}", i), TensorType::u8, {0}, {}});
  EXPECT_HAS(message_of([&] { (void)encode_safetensors(many); }), "20000 tensors are too many");
  many.tensors.resize(4096);
  EXPECT_EQ(decode_safetensors(encode_safetensors(many), "many").tensors.size(), 4096U);
  for (NamedTensor& tensor : many.tensors) tensor.name += std::string(300, 'x');
  EXPECT_HAS(message_of([&] { (void)encode_safetensors(many); }), "4096 tensors with 0 bytes are too many");
  TensorFile misfit = sample();
  misfit.tensors[0].shape = {4};
  EXPECT_HAS(message_of([&] { (void)encode_safetensors(misfit); }), "do not fit its shape");
  misfit.tensors[0].shape = {-3};
  EXPECT_HAS(message_of([&] { (void)encode_safetensors(misfit); }), "do not fit its shape");
  misfit.tensors[0].shape = {3, 1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_HAS(message_of([&] { (void)encode_safetensors(misfit); }), "do not fit its shape");
}

TEST(Safetensors, AFailedWriteLeavesTheOldFile) {
  const test::TemporaryDirectory directory;
  EXPECT_HAS(message_of([&] { write_safetensors(directory / "none" / "a", sample()); }), "cannot create");
  EXPECT_HAS(message_of([&] { (void)read_safetensors(directory / "a"); }), "No such file");
}

/// No more is read into memory than the first bytes promise.
TEST(Safetensors, AFileThatIsNoneIsNotReadWhole) {
  const test::TemporaryDirectory directory;
  const auto refusal = [&](const Bytes& bytes) {
    atomic_write_file(directory / "a", bytes);
    return message_of([&] { (void)read_safetensors(directory / "a"); });
  };
  EXPECT_HAS(refusal(Bytes(3)), "it has only 3 bytes");
  EXPECT_HAS(refusal(Bytes(100, std::byte{0xFF})), "is not a safetensors file, or is cut short");
  Bytes longer(100);
  longer[0] = std::byte{93};  // one byte more than there is
  EXPECT_HAS(refusal(longer), "its header should have 93 bytes");
  // Files with holes, which take no room on the disk.
  const auto refusal_of_hole = [&](const std::string& header, std::uintmax_t size) {
    atomic_write_file(directory / "a", file_with(header, 0));
    std::filesystem::resize_file(directory / "a", size);
    return message_of([&] { (void)read_safetensors(directory / "a"); });
  };
  EXPECT_HAS(refusal_of_hole("{}", 2'000'000'000), "its tensors have 0 bytes, the file has 1999999990");
  EXPECT_HAS(refusal_of_hole("{}", 40'000'000'000), "more than the 2147483648 that such a file may have");
}

TEST(Safetensors, TypesHaveNamesAndSizes) {
  std::string names;
  for (int type = 0; type < 6; ++type) {
    names += fmt::format("{} {}, ", name_of(static_cast<TensorType>(type)),
                         size_of(static_cast<TensorType>(type)));
  }
  EXPECT_HAS(names, "F32 4, ");
  EXPECT_HAS(names, "BF16 2, ");
  EXPECT_HAS(names, "? 0, ");
}

}  // namespace
}  // namespace normlab
