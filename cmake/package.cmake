# cpack reads this before it begins, and again between installing and packing: see install.cmake.
if(CPACK_NORMLAB_CUDA)
  message(FATAL_ERROR "This build has CUDA, whose libraries come from no Debian package. Configure with "
                      "-DNORMLAB_CUDA=OFF, or call cmake --workflow --preset package")
endif()
if(NOT CPACK_TEMPORARY_INSTALL_DIRECTORY OR NOT EXISTS ${CPACK_NORMLAB_SOURCE}/.git)
  return()
endif()
# Debian's policy asks for a changelog; where the sources are no clone there is no revision to name.
set(changelog ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/doc/normlab/changelog.gz)
string(CONCAT entry "normlab (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium%n%n  * Revision %h.%n%n"
                    " -- ${CPACK_PACKAGE_CONTACT}  %cD")
execute_process(COMMAND git -C ${CPACK_NORMLAB_SOURCE} log -1 --abbrev=12 "--format=${entry}" COMMAND gzip -9n
                OUTPUT_FILE ${changelog} COMMAND_ERROR_IS_FATAL ANY)
file(CHMOD ${changelog} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
