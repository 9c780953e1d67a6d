# Debian's valkey-server and nothing else; user and folders as in the public image.
FROM scratch
ADD rootfs.tar /
USER 999:999
WORKDIR /data
CMD ["valkey-server"]
