# `cmake --install` and the Debian package: the programs, their man pages, examples, the pages and what they link.
include(GNUInstallDirs)
install(TARGETS ${programs})
set_target_properties(${programs} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)  # libraries outside of the system's places
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
foreach(file README.md host/record/FORMAT.md tests/simt/README.md tools/net_a.py)
  get_filename_component(folder ${file} DIRECTORY)
  install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/man)
foreach(name ${programs})
  set(page ${CMAKE_BINARY_DIR}/man/${name}.1.gz)
  install(CODE "execute_process(COMMAND \"${CMAKE_CURRENT_LIST_DIR}/man_page\" \"$<TARGET_FILE:${name}>\"
                COMMAND gzip -9n OUTPUT_FILE \"${page}\" COMMAND_ERROR_IS_FATAL ANY)")
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Normlab authors <normlab@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "laboratory for normalization layers")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Trains small convolutional networks with no norm, batch, layer, group,
instance and RMS norm from the same seeds on the CPU, records everything, and
writes a page that says what the norm did. Experiments on batch size, depth,
learning rate, gradient flow, initialization and the loss landscape. Results
repeat to the bit.")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "gnuplot-nox | gnuplot")  # draws the pictures
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)  # lets dataset trust https
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                                                WORLD_READ WORLD_EXECUTE)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_DIR}/package.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${CPACK_PROJECT_CONFIG_FILE})
set(CPACK_NORMLAB_SOURCE ${PROJECT_SOURCE_DIR})
if(TARGET normlab_cuda)
  set(CPACK_NORMLAB_CUDA ON)
endif()
include(CPack)
