# ccache where it is there: what one clone compiled serves every other on this machine.
option(NORMLAB_CCACHE "Compile by ccache where it is installed" ON)
find_program(NORMLAB_CCACHE_PROGRAM ccache)
if(NORMLAB_CCACHE AND NORMLAB_CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Where its directory cannot be written, every call would fail.
  execute_process(
    COMMAND sh -c "place=$(\"$1\" -k cache_dir) && mkdir -p \"$place\" && [ -w \"$place\" ]" sh ${NORMLAB_CCACHE_PROGRAM}
    RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(status EQUAL 0)
    # Paths below the checkout are relative to it, and precompiled headers are taken for what is in them.
    set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
                 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
                 ${NORMLAB_CCACHE_PROGRAM})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${launcher})
  endif()
endif()
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>)  # __FILE__
