"""An asset with a value in every field."""

from typing import Any

# Fields that are required or can't be null.
REQUIRED = {
    ("id",),
    ("status", "phase"),
    ("creatorId", "type"),
    ("creatorId", "value"),
    ("profiles", "bitrate"),
}

FULL_ASSET: dict[str, Any] = {
    "id": "09f8b46c-61a0-4254-9875-f71f4c605bc7",
    "type": "video",
    "playbackId": "09f84s06ts2d0mzb",
    "userId": "66e2161c-7670-4d05-b71d-da2d6979556f",
    "staticMp4": True,
    "playbackUrl": "https://storage.example/hls/09f84s06ts2d0mzb/index.m3u8",
    "downloadUrl": "https://storage.example/hls/09f84s06ts2d0mzb/video/download.mp4",
    "playbackPolicy": {
        "type": "webhook",
        "webhookId": "1bde4o2i6xycudoy",
        "webhookContext": {"streamerId": "abc"},
        "refreshInterval": 600,
        "allowedOrigins": ["https://app.example"],
    },
    "source": {
        "type": "url",
        "url": "https://origin.example/talk.mp4",
        "gatewayUrl": "https://gateway.example/talk.mp4",
        "sessionId": "s1",
        "sourceId": "s2",
        "playbackId": "s3",
        "requesterId": "s4",
        "assetId": "s5",
        "encryption": {"encryptedKey": "aGVsbG8="},
    },
    "creatorId": {"type": "unverified", "value": "creator-1"},
    "profiles": [
        {
            "name": "360p",
            "width": 640,
            "height": 360,
            "bitrate": 800000,
            "fps": 30,
            "fpsDen": 1,
            "quality": 23,
            "gop": "2.0",
            "profile": "H264Baseline",
            "encoder": "H.264",
        }
    ],
    "storage": {
        "ipfs": {
            "spec": {"nftMetadataTemplate": "player", "nftMetadata": {"artist": "x"}},
            "cid": "bafy1",
            "url": "ipfs://bafy1",
            "gatewayUrl": "https://gateway.example/ipfs/bafy1",
            "nftMetadata": {
                "cid": "bafy2",
                "url": "ipfs://bafy2",
                "gatewayUrl": "https://gateway.example/ipfs/bafy2",
            },
            "updatedAt": 1795278498981,
        },
        "status": {
            "phase": "processing",
            "progress": 0.5,
            "errorMessage": "late",
            "tasks": {"pending": "t1", "last": "t2", "failed": "t3"},
        },
    },
    "status": {
        "phase": "processing",
        "updatedAt": 1795278498981,
        "progress": 0.37,
        "errorMessage": "soon",
    },
    "name": "talk.mp4",
    "projectId": "aac12556-4d65-4d34-9fb6-d1f0985eb0a9",
    "createdAt": 1795278493594,
    "createdByTokenName": "dev key",
    "size": 1234567,
    "hash": [{"hash": "d41d8cd98f00b204e9800998ecf8427e", "algorithm": "md5"}],
    "videoSpec": {
        "format": "mp4",
        "duration": 23.8328,
        "bitrate": 413132,
        "tracks": [
            {
                "type": "video",
                "codec": "h264",
                "startTime": 0.5,
                "duration": 23.8238,
                "bitrate": 358123,
                "width": 1920,
                "height": 1080,
                "pixelFormat": "yuv420p",
                "fps": 29.97,
                "channels": 2,
                "sampleRate": 44100,
                "bitDepth": 16,
            }
        ],
    },
    "deleted": False,
    "deletedAt": 1795278499000,
}
