# hadal_tests(NAME suites): makes the program NAME_test known to ctest. Its tests may run beside others, in shards, but for
# these suites (*: all), which measure times or have short deadlines: they are a test NAME_timed that wants the machine for
# itself.
function(hadal_tests NAME)
  if(NOT ARGN)
    add_test(NAME ${NAME} COMMAND ${NAME}_test)
    return()
  endif()
  list(TRANSFORM ARGN REPLACE "(.+)" "\\1.*:*/\\1.*" OUTPUT_VARIABLE SUITES)
  list(JOIN SUITES ":" SUITES)
  if(NOT ARGN STREQUAL "*")
    add_test(NAME ${NAME} COMMAND ${NAME}_test --gtest_filter=-${SUITES})
  endif()
  add_test(NAME ${NAME}_timed COMMAND ${NAME}_test --gtest_filter=${SUITES})
  set_tests_properties(${NAME}_timed PROPERTIES RUN_SERIAL ON)
endfunction()

# hadal_test_program(NAME LIBRARY files): NAME_test, of these files and the support of src/testing. Its files are compiled
# several at a time in every build, for most of the time goes to the headers that they share.
function(hadal_test_program NAME LIBRARY)
  file(GLOB SUPPORT CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/testing/*.cc)
  add_executable(${NAME}_test ${ARGN} ${SUPPORT})
  set_target_properties(${NAME}_test PROPERTIES UNITY_BUILD ON)
  target_compile_options(${NAME}_test PRIVATE -Wno-subobject-linkage)  # it takes a file's own types for a header's
  target_compile_definitions(${NAME}_test PRIVATE HADAL_SOURCE_DIR="${CMAKE_SOURCE_DIR}" HADAL_BINARY_DIR="${CMAKE_BINARY_DIR}")
  target_link_libraries(${NAME}_test PRIVATE ${LIBRARY} GTest::gtest GTest::gmock GTest::gtest_main)
endfunction()

# hadal_folder(NAME DEPENDS folders LINK libraries [TIMED suites] [COMPUTES] [ALONE]): one library target for src/NAME,
# and, where the folder holds *_test.cc, one test program beside it. A file x_fuzz.cc becomes a libFuzzer target of its own.
#   TIMED     the suites of hadal_tests
#   COMPUTES  its loops over numbers are optimised in sanitizer builds too, where tests wait for little else
#   ALONE     its files are compiled one by one everywhere: each has names of its own that others have too
function(hadal_folder NAME)
  cmake_parse_arguments(ARG "COMPUTES;ALONE" "" "DEPENDS;LINK;TIMED" ${ARGN})
  string(REPLACE "/" "_" TARGET ${NAME})
  file(GLOB SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${NAME}/*.cc)
  set(TESTS ${SOURCES})
  set(FUZZERS ${SOURCES})
  list(FILTER SOURCES EXCLUDE REGEX "_(test|fuzz)\\.cc$")
  list(FILTER TESTS INCLUDE REGEX "_test\\.cc$")
  list(FILTER FUZZERS INCLUDE REGEX "_fuzz\\.cc$")
  list(TRANSFORM ARG_DEPENDS REPLACE "/" "_")
  list(TRANSFORM ARG_DEPENDS PREPEND hadal_)

  if(SOURCES)
    add_library(hadal_${TARGET} STATIC ${SOURCES})
    target_include_directories(hadal_${TARGET} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(hadal_${TARGET} PUBLIC ${ARG_DEPENDS} ${ARG_LINK})
    if(ARG_COMPUTES)
      target_compile_options(hadal_${TARGET} PRIVATE $<$<CONFIG:Debug>:-O2>)
    endif()
    if(ARG_ALONE)
      set_target_properties(hadal_${TARGET} PROPERTIES UNITY_BUILD OFF)
    endif()
  else()
    add_library(hadal_${TARGET} INTERFACE)
    target_include_directories(hadal_${TARGET} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(hadal_${TARGET} INTERFACE ${ARG_DEPENDS} ${ARG_LINK})
  endif()

  if(TESTS AND NOT HADAL_FUZZ)
    hadal_test_program(${TARGET} hadal_${TARGET} ${TESTS})
    hadal_tests(${TARGET} ${ARG_TIMED})
  endif()
  if(HADAL_FUZZ)
    foreach(FILE ${FUZZERS})
      get_filename_component(FUZZER ${FILE} NAME_WE)
      add_executable(${FUZZER} ${FILE})
      target_link_libraries(${FUZZER} PRIVATE hadal_${TARGET})
      target_link_options(${FUZZER} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
endfunction()
