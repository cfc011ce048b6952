#include "spec/data_keys.h"

#include "spec/image_keys.h"

namespace hadal {

namespace {

template <class Source>
Key<DataSource> data_source(const std::string& name, const Keys<Source>& keys, const std::string& meaning) {
  return {name,
          "map",
          "",
          meaning,
          [=](const Value& value, const std::string& path, DataSource& into) {
            Source source;
            read_map(value, path, keys, source);
            into = source;
          },
          [=](const DataSource& from) -> std::optional<Json> {
            const auto* source = std::get_if<Source>(&from);
            return source ? std::optional(write_map(keys, *source)) : std::nullopt;
          },
          list_keys(keys)};
}

// One path or a list of them; not given, it is empty.
template <class S>
Key<S> paths(std::string name, std::vector<std::string> S::*place, std::string fallback, std::string meaning) {
  return {std::move(name),
          "path, pattern, or a list of them",
          std::move(fallback),
          std::move(meaning),
          [=](const Value& value, const std::string& path, S& into) {
            std::vector<std::string>& list = into.*place;
            list.clear();
            if (value.kind != Value::Kind::list) {
              list.push_back(read_text(value, path));
              return;
            }
            if (value.items.empty()) throw ConfigError(value.where, path + " must name a file");
            for (const Value& item : value.items) list.push_back(read_text(item, path));
          },
          [=](const S& from) -> std::optional<Json> {
            const std::vector<std::string>& list = from.*place;
            if (list.empty()) return std::nullopt;
            return list.size() == 1 ? Json(list[0]) : Json(list);
          }};
}

template <class S>
Key<S> splice_key() {
  constexpr WholeRange kFrames{0, 100};
  return section<S>(
      "splice", [](auto& source) -> auto& { return source.splice; },
      Keys<Splice>{whole<Splice>("left", &Splice::left, kFrames, "0", "frames before it"),
                   whole<Splice>("right", &Splice::right, kFrames, "0", "frames after it")},
      "of its keys", "frames of the same utterance that a sample has beside its own");
}

// A source that may hold image files: its own keys, and those of every such source.
template <class S>
Keys<S> with_image_keys(Keys<S> keys) {
  for (const Key<ImageSpec>& key : image_keys()) {
    keys.push_back(
        {key.name, key.type, key.fallback, key.meaning,
         [read = key.read](const Value& value, const std::string& path, S& into) { read(value, path, into.image); },
         [write = key.write](const S& from) { return write(from.image); }, key.below});
  }
  return keys;
}

template <class S>
Key<S> files_key(std::string meaning) {
  return paths<S>("files", &S::files, kRequired, std::move(meaning));
}

// A text that may be left out, and then is empty.
template <class S>
Key<S> optional_text(std::string name, std::string S::*place, std::string type, std::string meaning) {
  Key<S> key = text<S>(std::move(name), place, std::move(type), "absent", std::move(meaning));
  key.write = [place](const S& from) {
    return (from.*place).empty() ? std::nullopt : std::optional<Json>(from.*place);
  };
  return key;
}

template <class S>
Key<S> file_or_none(std::string name, std::optional<std::string> S::*place, std::string meaning) {
  return {std::move(name),
          "file, or none",
          "none",
          std::move(meaning),
          [=](const Value& value, const std::string& path, S& into) {
            const std::string file = read_text(value, path);
            into.*place = file == "none" ? std::nullopt : std::optional(file);
          },
          [=](const S& from) { return Json((from.*place).value_or("none")); }};
}

const Keys<DataSource>& data_sources() {
  using N = NpyData;
  using T = SafetensorsData;
  using L = LibsvmData;
  using C = CsvData;
  static const Keys<DataSource> kSources = {
      data_source<IdxData>("idx",
                           {text<IdxData>("images", &IdxData::images, "path", kRequired, "IDX file of the images"),
                            text<IdxData>("labels", &IdxData::labels, "path", kRequired, "IDX file of the labels")},
                           "a pair of IDX files, as MNIST comes in"),
      data_source<SyntheticData>("synthetic",
                                 {whole<SyntheticData>("samples", &SyntheticData::samples, {1, 1'000'000'000},
                                                       kRequired, "samples of an epoch"),
                                  whole<SyntheticData>("classes", &SyntheticData::classes, {1, 1 << 24}, kRequired,
                                                       "labels are below this number")},
                                 "random samples of the network's input shape, from `seed`"),
      data_source<N>("npy",
                     {paths<N>("features", &N::features, kRequired, "arrays whose first dimension counts the samples"),
                      paths<N>("labels", &N::labels, kRequired, "arrays of whole numbers, one for each sample"),
                      paths<N>("utterances", &N::utterances, "absent",
                               "arrays of whole numbers: the frames of each utterance of a file, in order"),
                      splice_key<N>()},
                     "NumPy's arrays, streamed"),
      data_source<T>(
          "safetensors",
          {files_key<T>("files that each hold the tensors below"),
           text<T>("features", &T::features, "tensor name", "features",
                   "tensor whose first dimension counts the samples"),
           text<T>("labels", &T::labels, "tensor name", "labels", "tensor of whole numbers, one for each sample"),
           optional_text<T>("utterances", &T::utterances, "tensor name",
                            "tensor of whole numbers: the frames of each utterance of a file, in order"),
           splice_key<T>()},
          "tensors of safetensors files, streamed"),
      data_source<L>("libsvm",
                     {files_key<L>("texts of `label index:value ...` lines"),
                      whole<L>("first_index", &L::first_index, {0, 1}, "1", "index of the first feature")},
                     "sparse samples as text, streamed"),
      data_source<C>(
          "csv",
          {files_key<C>("texts of numbers"),
           text<C>("label", &C::label, "column name, its number from 1, or last", "last",
                   "the column of the labels; all others are features, in their order"),
           choice<C, CsvHeader>(
               "header", &C::header,
               {{"auto", CsvHeader::automatic}, {"first_line", CsvHeader::first_line}, {"none", CsvHeader::none}},
               "auto", "names of columns; `auto`: where the first line is not all numbers"),
           choice<C, CsvDelimiter>(
               "delimiter", &C::delimiter,
               {{"comma", CsvDelimiter::comma}, {"semicolon", CsvDelimiter::semicolon}, {"tab", CsvDelimiter::tab}},
               "comma", "what stands between fields")},
          "comma-separated samples as text, streamed"),
      data_source<ImageFolderData>(
          "image_folder",
          with_image_keys<ImageFolderData>(
              {text<ImageFolderData>("path", &ImageFolderData::path, "folder", kRequired,
                                     "folder with a folder of images for each class, or what the paths of `list` begin "
                                     "in"),
               file_or_none<ImageFolderData>("list", &ImageFolderData::list, "file of `path label` lines")}),
          "image files, streamed"),
      data_source<TarData>("tar",
                           with_image_keys<TarData>({files_key<TarData>("shards as WebDataset has them: `NAME.jpg` and "
                                                                        "`NAME.cls` of each sample, one after the "
                                                                        "other")}),
                           "images in tar files, streamed"),
  };
  return kSources;
}

void read_data_source(const Value& value, const std::string& path, bool is_test, DataSource& into) {
  const Position where = read_one_of(value, path, "data source", data_sources(), into);
  std::visit(
      [&](auto& source) {
        if constexpr (requires { source.where; }) source.where = where;
        if constexpr (requires { source.image; }) check_image(source.image, is_test, path, where);
      },
      into);
}

}  // namespace

Keys<DataSpec> data_keys() {
  using D = DataSpec;
  return {
      {"train", "data source", kRequired, "what is trained on",
       [](const Value& value, const std::string& path, D& into) { read_data_source(value, path, false, into.train); },
       [](const D& from) { return write_map(data_sources(), from.train); }, list_keys(data_sources())},
      {"test", "data source", "absent", "what is evaluated on after each epoch; the options are those of `data.train`",
       [](const Value& value, const std::string& path, D& into) {
         read_data_source(value, path, true, into.test.emplace());
       },
       [](const D& from) { return from.test ? std::optional(write_map(data_sources(), *from.test)) : std::nullopt; }},
      at(&D::batch_where, whole<D>("batch", &D::batch, {1, 1 << 20}, kRequired,
                                   "samples of a step, of all devices together; at least one for each device")),
      choice<D, SampleOrder>("order", &D::order,
                             {{"shuffled", SampleOrder::shuffled}, {"sequential", SampleOrder::sequential}}, "shuffled",
                             "order of the samples in an epoch; shuffled anew for each, from `seed`"),
      whole<D>("buffer", &D::buffer, {1, 1 << 30}, "262144",
               "samples of a streamed source that are shuffled together; memory holds twice as many"),
      at(&D::bad_sample_where,
         choice<D, BadSample>("on_bad_sample", &D::on_bad_sample,
                              {{"fail", BadSample::fail}, {"skip", BadSample::skip}}, "fail",
                              "what to do with a sample of a streamed source that cannot be read")),
  };
}

}  // namespace hadal
